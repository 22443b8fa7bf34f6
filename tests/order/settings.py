"""The site that the processes of a run belong to; the database, the server and the scenario are in the environment."""

from __future__ import annotations

import json
import os

from tests.order.scenario import from_environment

DATABASES = {"default": json.loads(os.environ["ORDER_DATABASE"])}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.install_as_MySQLdb()
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # Writers that wait for each other are meant to; a second of it would be most of what they do.
    DATABASES["default"]["OPTIONS"] = {"options": "-c deadlock_timeout=50ms"}

DIFFS_SETTINGS = {"redis": json.loads(os.environ["ORDER_REDIS"]), **from_environment().settings}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "diffs", "tests.order.app"]
ALLOWED_HOSTS = ["localhost"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.order.urls"
SECRET_KEY = "only the tests sign with this"
USE_TZ = True
