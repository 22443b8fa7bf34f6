"""What documents show of a result of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import pages

DOCUMENT = "Above.\n\n.. measured: begin\n\nOld\nfigures.\n\n.. measured: end\n\nBelow.\n"


def test_only_what_is_between_the_marks_is_replaced() -> None:
    assert pages.with_block(DOCUMENT, "New.") == "Above.\n\n.. measured: begin\n\nNew.\n\n.. measured: end\n\nBelow.\n"


def test_replacing_twice_is_replacing_once() -> None:
    once = pages.with_block(DOCUMENT, "New.")
    assert pages.with_block(once, "New.") == once


@pytest.mark.parametrize("document", ["", ".. measured: begin\n", ".. measured: end\n\n.. measured: begin\n"])
def test_document_without_marks_is_left_alone(document: str) -> None:
    with pytest.raises(ValueError, match="has no lines"):
        pages.with_block(document, "New.")


@pytest.mark.parametrize("path", [pages.README, pages.PAGE], ids=lambda path: path.name)
def test_documents_have_the_marks(path: Path) -> None:
    assert pages.with_block(path.read_text(encoding="utf-8"), "New.").count("\nNew.\n") == 1


def test_conditions_name_the_machine_and_the_versions_that_were_measured_with() -> None:
    result = {
        "quick": True,
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "A CPU", "cores": 2, "kernel": "Linux 6"},
        "environments": [{"python": "3.11.7", "sqlite": "3.40", "django": "5.2.1", "redis": "8.1", "hiredis": "3.5"}],
        "servers": {
            "redis, zset-max-listpack-value 64": {"server": {"redis_version": "7.2.4", "valkey_version": "9.1.2"}},
            "redis, zset-max-listpack-value 256": {"server": {"redis_version": "7.2.4", "valkey_version": "9.1.2"}},
            "postgresql": {"version": "18.4"},
        },
    }
    assert pages.conditions(result) == (
        "Measured on 2026-01-02 (a quick run): A CPU, 2 cores, Linux 6; Python 3.11.7, Django 5.2.1, redis-py 8.1 with "
        "hiredis 3.5, SQLite 3.40 (a file; WAL, synchronous=NORMAL), Valkey 9.1.2 (unix socket), "
        "PostgreSQL 18.4 (unix socket, without fsync)."
    )
