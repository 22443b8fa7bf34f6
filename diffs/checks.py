"""System checks."""

from __future__ import annotations


def register_checks() -> None:
    """Make the checks known to Django."""
