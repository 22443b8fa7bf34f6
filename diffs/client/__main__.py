"""Shows on a terminal what happens: ``python -m diffs.client ADDRESS [FEED ...]``."""

from __future__ import annotations

import argparse
import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .clients import Client
from .errors import ClientError
from .following import NOW
from .lines import LONGEST_VALUE, Lines, as_json
from .tokens import Source
from .values import Diff, Reset

TOKEN = "DIFFS_TOKEN"
OLDEST = "oldest"

_INTERVAL = 2.0
_INTERRUPTED, _BROKEN_PIPE = 130, 141
"""Exit statuses, as shells have them for the signals."""

_EPILOG = f"""A token is taken from the environment variable {TOKEN} or from a file, because everybody on a machine can
see arguments. At its end the command says on the standard error from where to go on. NO_COLOR is honoured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: behind its name; ``None``: those of the process.

    Returns:
        The exit status.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    _say_what_the_client_logs()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        client = Client(options.address, token=_token(options.token_file))
        since = _since(options.since, options.feeds, OLDEST if options.once else NOW)
        tail = _Tail(client, options.feeds, since, as_json if options.json else _line_maker(len(options.feeds) > 1))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    try:
        with client:
            tail.once() if options.once else tail.follow(options.interval)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough; nor would anybody take what the interpreter writes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (ClientError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        status = 1
    if tail.place:
        print(f"Go on with: {tail.place}", file=sys.stderr)
    return status


class _Tail:
    """Writes what happens, and knows what was written.

    Args:
        client: asks.
        feeds: the names of the feeds; none where the client's address is a feed's.
        since: where to begin.
        line: makes the line of an event.
    """

    def __init__(
        self,
        client: Client,
        feeds: Sequence[str],
        since: str | Mapping[str, str],
        line: Callable[[Diff | Reset], str],
    ) -> None:
        self._client = client
        self._feeds = feeds
        self._line = line
        self._since = since
        self._cursors: Mapping[str, str] = {}

    @property
    def place(self) -> str:
        """The options that go on behind what was written; empty where nothing was read."""
        known = {feed: cursor for feed, cursor in self._cursors.items() if cursor not in ("", NOW)}
        texts = known.values() if len(self._cursors) == 1 else [f"{cursor}@{feed}" for feed, cursor in known.items()]
        return shlex.join(part for text in texts for part in ("--since", text))

    def follow(self, interval: float) -> None:
        """Write whatever happens, without end."""
        following = self._client.follow(*self._feeds, since=self._since, interval=interval, idle=True)
        for event in following:
            if isinstance(event, Diff | Reset):
                print(self._line(event))
            self._cursors = following.cursors

    def once(self) -> None:
        """Write what there is."""
        more = True
        while more:
            page = self._client.pull(*self._feeds, since=self._cursors or self._since)
            for event in page.events:
                print(self._line(event))
            self._cursors, more = page.cursors, page.more


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diffs.client",
        description="Show what happens in feeds of diffs, one line for each change.",
        epilog=_EPILOG,
    )
    parser.add_argument("address", help="where the site mounts its diffs, or the address of a feed there")
    parser.add_argument("feeds", nargs="*", metavar="feed", help="polls.question:42 for an object, polls.question")
    parser.add_argument(
        "--since",
        action="append",
        default=[],
        metavar="CURSOR[@FEED]",
        help=f"where to begin; '{NOW}', unless given, or '{OLDEST}', which it is with --once; again for other feeds",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="read anew when the token is refused")
    parser.add_argument("--once", action="store_true", help="write what there is, and end")
    parser.add_argument("--json", action="store_true", help="write a JSON document a line")
    parser.add_argument(
        "--interval",
        type=float,
        default=_INTERVAL,
        metavar="SECONDS",
        help="between questions, where the site can't hold back its answers until there is news",
    )
    return parser


def _say_what_the_client_logs() -> None:
    logger = logging.getLogger("diffs.client")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())


def _token(file: Path | None) -> Source:
    if file is None:
        return os.environ.get(TOKEN, "").strip() or None
    return lambda: file.read_text(encoding="ascii").strip()


def _since(texts: Sequence[str], feeds: Sequence[str], default: str) -> str | Mapping[str, str]:
    """Where to begin.

    Raises:
        ValueError: it is said in more than one way, or for a feed that isn't wanted.
    """
    parts = [text.partition("@") for text in texts or [default]]
    places = {feed: "" if cursor == OLDEST else cursor for cursor, _, feed in parts}
    if len(places) < len(parts) or ("" in places and len(places) > 1):
        raise ValueError("--since is given once, or as CURSOR@FEED once for each feed.")
    if "" in places:
        return places[""]
    if unknown := places.keys() - feeds:
        raise ValueError(f"--since is about {min(unknown)}, which isn't among the feeds.")
    return {**dict.fromkeys(feeds, "" if default == OLDEST else default), **places}


def _line_maker(several: bool) -> Callable[[Diff | Reset], str]:
    is_terminal = sys.stdout.isatty()
    colours = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Lines(colours=colours, feeds=several, longest=LONGEST_VALUE if is_terminal else None).of


if __name__ == "__main__":
    sys.exit(main())
