"""The browser client: its tests in Node, its types, and what it is shipped as."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.management import call_command

import diffs
from tests.needs import missing

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENT = ROOT / "diffs" / "static" / "diffs"
DECLARED = (CLIENT / "diffs.d.ts").read_text(encoding="utf-8")

OLDEST_NODE = 18
OLDEST_TYPESCRIPT = (4, 8)
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|javascript:")
IMPORT = re.compile(r"""from "\./([^"]+)";""")

NAMES = """
const client = await import(process.argv[1]);
const subscription = client.subscribe("http://localhost/", {});
const collection = client.collection("http://localhost/a/b.c/1/");
const names = (value) => [
  ...Object.getOwnPropertyNames(Object.getPrototypeOf(value)),
  ...Object.getOwnPropertySymbols(Object.getPrototypeOf(value)).map(({ description }) => `[${description}]`),
  ...Object.keys(value),
];
const found = { module: Object.keys(client), Subscription: names(subscription), Collection: names(collection) };
console.log(JSON.stringify(found));
subscription.close();
collection.close();
"""


@cache
def node() -> str:
    """The path of Node."""
    path = shutil.which("node")
    if path is None:
        missing("There is no Node on the path.")
    version = run(path, "--version").strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        missing(f"Node is {version}: the tests need {OLDEST_NODE} or newer.")
    return path


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command that must succeed.

    Returns:
        What it prints.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_what_the_client_does_in_node(name: str) -> None:
    said = run(node(), "--test", "--test-reporter=tap", name, cwd=HERE)
    assert int(re.search(r"^# pass (\d+)$", said, re.MULTILINE)[1]) > 0


def test_what_is_declared_is_what_there_is() -> None:
    found = json.loads(run(node(), "--input-type=module", "--eval", NAMES, (CLIENT / "diffs.js").as_uri()))
    assert set(found["module"]) == set(re.findall(r"^export (?:class|function) (\w+)", DECLARED, re.MULTILINE))
    for name in ("Subscription", "Collection"):
        assert set(found[name]) - {"constructor"} == members(name)


def members(interface: str) -> set[str]:
    """What an interface declares."""
    body = re.search(rf"^export interface {interface}\b[^{{]*{{\n(.*?)^}}", DECLARED, re.MULTILINE | re.DOTALL)[1]
    code = re.sub(r"/\*\*.*?\*/", "", body, flags=re.DOTALL)
    return set(re.findall(r"^  (?:readonly )?(\w+|\[Symbol\.iterator\])[(:]", code, re.MULTILINE))


def test_the_code_has_the_types_that_are_declared(tmp_path: Path) -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        missing("There is no TypeScript compiler, tsc, on the path.")
    version = run(compiler, "--version").split()[-1]
    if tuple(map(int, version.split(".")[:2])) < OLDEST_TYPESCRIPT:
        missing(f"TypeScript is {version}: the test needs {'.'.join(map(str, OLDEST_TYPESCRIPT))} or newer.")
    options = {"allowJs": True, "checkJs": True, "lib": ["es2022", "dom", "dom.iterable"], "noEmit": True}
    options |= {"module": "node16", "moduleResolution": "node16", "strict": True, "target": "es2022", "types": []}
    files = [*map(str, CLIENT.glob("*.js")), str(CLIENT / "diffs.d.ts"), str(HERE / "usage.mts")]
    configuration = tmp_path / "tsconfig.json"
    configuration.write_text(json.dumps({"compilerOptions": options, "files": files}))
    assert run(compiler, "--project", str(configuration)) == ""


def test_texts_are_never_read_as_markup_or_code() -> None:
    board = ROOT / "example" / "board" / "static" / "board"
    for path in (*CLIENT.glob("*.js"), *board.glob("*.js")):
        assert not MARKUP.search(path.read_text(encoding="utf-8")), path.name


def test_the_folder_is_a_package_of_this_release() -> None:
    package = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == diffs.__version__
    assert (package["type"], package["sideEffects"], package["license"]) == ("module", False, "MIT")
    entry = package["exports"]["."]
    assert (entry["types"], entry["default"]) == (package["types"], package["main"]) == ("./diffs.d.ts", "./diffs.js")
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_npm_packs_every_file_of_the_folder() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("There is no npm on the path.")
    packed = json.loads(run(npm, "pack", "--dry-run", "--json", "--loglevel=error", cwd=CLIENT))
    assert {file["path"] for file in packed[0]["files"]} == {path.name for path in CLIENT.iterdir()}


class HashingStorage(ManifestStaticFilesStorage):
    """What the client's README says to use."""

    support_js_module_import_aggregation = True


def test_files_with_hashed_names_import_each_other(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT, settings.STATIC_URL = tmp_path, "/static/"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": f"{__name__}.HashingStorage"}}
    call_command("collectstatic", interactive=False, verbosity=0)
    folder = tmp_path / "diffs"
    files = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    hashed = [folder / Path(files[f"diffs/{path.name}"]).name for path in CLIENT.glob("*.js")]
    imported = {name for path in hashed for name in IMPORT.findall(path.read_text(encoding="utf-8"))}
    assert imported < {path.name for path in hashed}
    assert len(imported) == len(hashed) - 1
