"""Where feeds are found."""

from __future__ import annotations

import re
import urllib.parse
from typing import NamedTuple

from diffs.keys import FeedName, parse_feed
from diffs.quoting import quote, unquote

# Of two readings the one with a primary key: a mount that looks like a model is rarer than such a key.
_FEED = re.compile(r"(?P<mount>.*?/)(?P<model>[a-z_]\w*\.[a-z_]\w*)/(?:(?P<pk>[^/]+)/)?", re.ASCII | re.IGNORECASE)


class Place(NamedTuple):
    """Where a site mounts its diffs."""

    mount: str
    """The address, with a slash at its end."""
    feed: str | None
    """The feed whose address was given; ``None`` where it was the mount's."""

    def of_feed(self, feed: str) -> str:
        """The address of a feed."""
        model, pk = parse_feed(feed)
        parts = [model] if pk is None else [model, quote(pk)]
        return self.mount + "".join(f"{urllib.parse.quote(part, safe='')}/" for part in parts)


def locate(address: str) -> Place:
    """Take an address apart.

    Args:
        address: where the site mounts ``diffs.http.urls``, or the address of a feed there.

    Raises:
        ValueError: it is neither. The message doesn't repeat it, as it may hold a password or a token.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        is_complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise ValueError("An address begins with http:// or https:// and a host.")
    if "@" in parts.netloc:
        raise ValueError("No user and password in the address: give the client an httpx client with `auth`.")
    if parts.query or parts.fragment:
        raise ValueError("Nothing behind ? or # in the address: feeds, cursors and tokens are given apart from it.")
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    root = f"{parts.scheme}://{parts.netloc}"
    match = _FEED.fullmatch(path)
    if match is None:
        return Place(root + path, None)
    pk = match["pk"] and unquote(urllib.parse.unquote(match["pk"]))
    return Place(root + match["mount"], str(FeedName(match["model"], pk)))
