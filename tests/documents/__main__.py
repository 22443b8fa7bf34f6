"""Works through a page in the folder of its project: ``python -m tests.documents PAGE REDIS_ADDRESS``.

Prints what comes out otherwise than the page says.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import django
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.db import connections
from django.test.testcases import LiveServerThread

from .blocks import Page
from .project import REDIS, SITE
from .running import Runner


@contextlib.contextmanager
def site() -> Iterator[str]:
    """Serve the project; gives host and port."""
    thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    try:
        yield f"127.0.0.1:{thread.port}"
    finally:
        thread.terminate()


def main(name: str, redis_address: str) -> None:
    """Run all blocks of the page in the file ``page.rst``, in their order."""
    django.setup()
    page = Page(name, Path("page.rst").read_text(encoding="utf-8"))
    with site() as address:
        runner = Runner({SITE: address, REDIS: redis_address})
        for block in page.blocks:
            output = io.StringIO()
            try:
                runner.run(block, output)
            except Exception as error:
                output.write(f"{type(error).__name__}: {error}\n")
            if output.getvalue():
                print(f"{block} ({block.language})\n{output.getvalue()}")
    connections.close_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
