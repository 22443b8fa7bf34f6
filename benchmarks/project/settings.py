"""Settings of a contender's process; what differs between contenders comes by the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# A tool that only looks at the project isn't given any.
BENCH: dict[str, Any] = {
    "contender": "plain",
    "database": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "redis": {},
    "diffs": {},
    "apps": [],
    "settings": {},
    **json.loads(os.environ.get("DIFFS_BENCH", "{}")),
}

# The example's app is a contender's workload.
sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "example"))

DATABASES = {"default": BENCH["database"]}
DIFFS_SETTINGS = {"redis": BENCH["redis"], **BENCH["diffs"]}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *BENCH["apps"], "benchmarks.project"]

ALLOWED_HOSTS = ["*"]
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE: list[str] = []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "benchmarks.project.urls"
SECRET_KEY = "only benchmarks sign with this"
USE_TZ = True

globals().update(BENCH["settings"])
