"""Pages as docutils reads them, and the code blocks in them."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import Reporter

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = tuple(path.relative_to(ROOT).as_posix() for path in sorted((*ROOT.glob("*.rst"), *ROOT.glob("docs/**/*.rst"))))

_FILE = re.compile(r"(?:#|//|\{#) (?P<path>[\w.-]+(?:/[\w.-]+)+\.\w+)(?: #\})?")
_SETTINGS = {
    "input_encoding": "unicode",
    "report_level": Reporter.INFO_LEVEL,
    "halt_level": Reporter.SEVERE_LEVEL + 1,
    "warning_stream": False,
    "syntax_highlight": "none",
    "file_insertion_enabled": False,
}


class Block(NamedTuple):
    """A piece of code in a page."""

    page: str
    line: int
    """Where its code begins."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def path(self) -> str | None:
        """The file of a project that this is, or is a part of; named by a comment in the first line."""
        match = _FILE.fullmatch(self.text.partition("\n")[0])
        return match["path"] if match else None


class Page:
    """A document.

    Args:
        name: its path from the project's root.
        text: what it says, if that isn't to be read from there.
    """

    def __init__(self, name: str, text: str | None = None) -> None:
        self.name = name
        self.text = (ROOT / name).read_text(encoding="utf-8") if text is None else text

    @functools.cached_property
    def tree(self) -> nodes.document:
        """The page as docutils understands it."""
        return publish_doctree(self.text, source_path=self.name, settings_overrides=_SETTINGS)

    @functools.cached_property
    def blocks(self) -> list[Block]:
        """The code blocks, in order; one without a language has ``""``."""
        found = []
        position = 0
        for node in self.tree.findall(lambda node: isinstance(node, nodes.literal_block | nodes.doctest_block)):
            language = next((name for name in node["classes"] if name != "code"), "")
            # docutils knows where a block ends, if that.
            position = self.text.index(f" {node.astext().splitlines()[0]}\n", position) + 1
            found.append(Block(self.name, self.text.count("\n", 0, position) + 1, language, node.astext()))
        return found

    @property
    def problems(self) -> list[str]:
        """What docutils finds wrong."""
        messages = [*self.tree.parse_messages, *self.tree.transform_messages]
        return [message.astext() for message in (*self.tree.findall(nodes.system_message), *messages)]

    @property
    def links(self) -> list[str]:
        """Where the page points to, outside itself."""
        targets = [node["refuri"] for node in self.tree.findall(nodes.reference) if "refuri" in node]
        return targets + [node["uri"] for node in self.tree.findall(nodes.image)]

    @property
    def anchors(self) -> set[str]:
        """What a link into the page may name behind a ``#``."""
        return {name for node in self.tree.findall(nodes.Element) for name in node["ids"]}

    @property
    def literals(self) -> list[str]:
        """What stands between double backquotes."""
        return [node.astext() for node in self.tree.findall(nodes.literal)]
