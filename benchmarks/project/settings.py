"""Settings of a contender's process; what differs between contenders comes by the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

# A tool that only looks at the project isn't given any.
BENCH: dict[str, Any] = {
    "contender": "plain",
    "database": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "redis": {},
    "diffs": {},
    "apps": [],
    "settings": {},
    "without": [],
    **json.loads(os.environ.get("DIFFS_BENCH", "{}")),
}

# As if they weren't installed.
sys.modules.update(dict.fromkeys(BENCH["without"]))

# The example's app is a contender's workload.
sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "example"))

DATABASES = {"default": BENCH["database"]}
# The Django of the original knows no such option: `models.py` does it.
INIT_COMMAND = DATABASES["default"].get("OPTIONS", {}).pop("init_command", "") if django.VERSION < (5, 1) else ""
DIFFS_SETTINGS = {"redis": BENCH["redis"], **BENCH["diffs"]}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *BENCH["apps"], "benchmarks.project"]

ALLOWED_HOSTS = ["*"]
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE: list[str] = []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "benchmarks.project.urls"
SECRET_KEY = "only benchmarks sign with this"
# Tables are made from the models, which is faster; the migrations of this one make more than tables.
MIGRATION_MODULES = {name.rpartition(".")[2]: None for name in INSTALLED_APPS if name != "pghistory"}
USE_TZ = True

globals().update(BENCH["settings"])
