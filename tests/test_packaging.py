"""What is built from the sources works where nothing but it and its dependencies is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("packaging")
    source, output = folder / "source", folder / "dist"
    # A copy, as building writes into the sources, where other tests are running.
    rubbish = shutil.ignore_patterns(".[!c]*", ".cache", ".coverage*", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, source, ignore=rubbish)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(source))
    return output


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command that must succeed and return its output; it sees neither these sources nor their settings."""
    hidden = {"PYTHONPATH", "DJANGO_SETTINGS_MODULE"}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(folder: Path, suffix: str = "") -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_file_of_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of(ROOT / "diffs")
    assert {"diffs/py.typed", *files_of(ROOT / "diffs" / "store", ".lua")} <= names
    assert {f"diffs/static/diffs/{name}" for name in ("diffs.js", "diffs.d.ts", "package.json", "LICENSE")} <= names
    assert files_of(ROOT / "diffs", ".lua")


def test_wheel_says_what_it_is_and_what_it_needs(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        fields = message_from_bytes(wheel.read(metadata))
    assert (fields["Name"], fields["License-Expression"]) == ("django-diffs", "MIT")
    assert fields["Requires-Python"] == ">=3.10"
    assert fields["Description-Content-Type"] == "text/x-rst"
    assert fields.get_all("Provides-Extra") == ["embedded", "fast", "client", "test", "demo", "bench", "dev"]
    needed = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert needed == [
        "django<6.2,>=5.2",
        "django-dirtyfields>=1.9",
        "msgpack>=1.0",
        "redis>=5.1",
        "six>=1.16",
    ]


def test_source_distribution_holds_what_testing_it_takes(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of(ROOT / "diffs") <= names
    assert files_of(ROOT / "tests", ".py") | files_of(ROOT / "tests" / "javascript") <= names
    assert {".ci/run", "CHANGELOG.rst", "LICENSE", "Makefile", "README.rst", "pyproject.toml", "tox.ini"} <= names


def test_installed_wheel_records_a_change_and_reads_it_back(built: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python = str(environment / "bin" / "python")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet", str(next(built.glob("*.whl")))),
    )
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The dependencies are those of the tests' own environment: nothing has to be fetched.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "models.py").write_text(
        dedent(
            """
            from django.db import models
            import diffs

            @diffs.register
            class Item(models.Model):
                name = models.CharField(max_length=100)
                price = models.IntegerField()
            """
        )
    )
    (tmp_path / "program.py").write_text(
        dedent(
            """
            import json
            import django
            from django.conf import settings
            from django.core.management import call_command

            settings.configure(
                DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
                DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
                DIFFS_SETTINGS={"test_mode": True},
                INSTALLED_APPS=["diffs", "shop"],
            )
            django.setup()
            call_command("migrate", run_syncdb=True, verbosity=0)
            import diffs
            from shop.models import Item

            item = Item.objects.create(name="lamp", price=30)
            item.price = 25
            item.save()
            print(json.dumps([diffs.__file__, [[diff.action, diff.data] for diff in item.diffs]]))
            """
        )
    )
    assert json.loads(run(python, "program.py", cwd=tmp_path)) == [
        str(packages / "diffs" / "__init__.py"),
        [["create", {"name": "lamp", "price": 30}], ["update", {"price": 25}]],
    ]
