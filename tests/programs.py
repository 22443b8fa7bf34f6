"""Python processes that a test starts, none of which outlives it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Programs:
    """Starts programs in the project's root; as a context manager it ends those that are left over.

    Args:
        environment: what they find in theirs on top of this process's own.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._stack = contextlib.ExitStack()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Run Python with arguments; `options` are those of ``Popen``."""
        process = subprocess.Popen((sys.executable, *arguments), env=self.environment, cwd=ROOT, text=True, **options)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
