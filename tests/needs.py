"""What a machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End a test that needs something which this machine lacks: skip it, or fail where ``DIFFS_REQUIRE_ALL`` is set.

    Args:
        what: a sentence that says what to install.
    """
    if os.environ.get("DIFFS_REQUIRE_ALL"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
