"""The site that the tests run in; importing it starts nothing and writes nothing.

`conftest.py` names the servers in the environment, so that processes which a test starts find the same ones.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

DATABASE = os.environ.get("DIFFS_TEST_DATABASE", "sqlite")

# A database that is waited for is no failure: processes of a test write to it at once.
SQLITE: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 30}}


def in_temp(name: str) -> str:
    return str(Path(tempfile.gettempdir(), f"django-diffs-{name}"))


def default_database() -> dict[str, Any]:
    if DATABASE == "sqlite":
        return {**SQLITE, "NAME": os.environ.get("DIFFS_TEST_DATABASE_NAME", in_temp("default.sqlite3"))}
    if DATABASE == "postgresql":
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ.get("DIFFS_TEST_POSTGRES_HOST", ""),
            "NAME": os.environ.get("DIFFS_TEST_DATABASE_NAME", "diffs"),
            "USER": os.environ.get("DIFFS_TEST_POSTGRES_USER", "postgres"),
        }
    raise ValueError(f"DIFFS_TEST_DATABASE is 'sqlite' or 'postgresql', not {DATABASE!r}.")


DATABASES = {"default": default_database(), "other": {**SQLITE, "NAME": in_temp("other.sqlite3")}}

DIFFS_SETTINGS = {
    "redis": {"unix_socket_path": os.environ.get("DIFFS_TEST_REDIS_SOCKET", in_temp("redis.sock"))},
    "flush": os.environ.get("DIFFS_TEST_FLUSH", "commit"),
    "versions": os.environ.get("DIFFS_TEST_VERSIONS", "clock"),
    "outbox": bool(os.environ.get("DIFFS_TEST_OUTBOX")),
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "diffs",
    "tests.testapp",
]
if DATABASE == "postgresql":
    INSTALLED_APPS += ["django.contrib.postgres", "tests.pgapp"]

# The tables of the site itself are made from the models: running migrations tests nothing of ours.
MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions"])

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = in_temp("media")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.urls"
SECRET_KEY = "only the tests sign with this"
# SQLite can't defer a unique constraint: there the model goes without it. And one model has a foreign key by which the
# database deletes rows itself.
SILENCED_SYSTEM_CHECKS = ["models.W038", "diffs.W004"]
STATIC_URL = "static/"
# Not UTC, so that local time where UTC belongs is seen.
TIME_ZONE = "America/New_York"
USE_TZ = True
