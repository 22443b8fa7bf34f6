"""Works through a page in the folder of its project: ``python -m tests.documents PAGE REDIS_ADDRESS``.

Prints what comes out otherwise than the page says.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import django
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.db import connections
from django.test.testcases import LiveServerThread

from .blocks import Page
from .project import REDIS, SITE, SITE_BEHIND_WSGI, SOCKETS
from .running import Runner
from .serving import serve


@contextlib.contextmanager
def site_behind_wsgi() -> Iterator[str]:
    """Serve the project as Django does by itself; gives host and port."""
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
    with contextlib.ExitStack() as stack:
        places = {REDIS: redis_address}
        if SITE in page.text:
            places[SITE] = stack.enter_context(serve(Path.cwd()))
        if SITE_BEHIND_WSGI in page.text:
            places[SITE_BEHIND_WSGI] = stack.enter_context(site_behind_wsgi())
        # Not pytest's own folder: a unix socket's path must be short.
        places[SOCKETS] = stack.enter_context(tempfile.TemporaryDirectory())
        runner = Runner(places)
        for block in page.blocks:
            with reporting(f"{block} ({block.language})") as output:
                runner.run(block, output)
        with reporting("What is left at the end") as output:
            runner.close(output)
    connections.close_all()


@contextlib.contextmanager
def reporting(what: str) -> Iterator[TextIO]:
    """Print what is written to a file, or went wrong.

    Args:
        what: the line above it.
    """
    output = io.StringIO()
    try:
        yield output
    except Exception as error:
        output.write(f"{type(error).__name__}: {error}\n")
    if output.getvalue():
        print(f"{what}\n{output.getvalue()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
