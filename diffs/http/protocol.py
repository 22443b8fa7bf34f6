"""What the endpoint says on the wire: names, media types, fixed header values, bounds."""

from __future__ import annotations

import re

VERSION = "1"
"""Of the protocol: another one where clients of this one would no longer understand it."""

JSON = "application/json"
MSGPACK = "application/msgpack"
PROBLEM = "application/problem+json"
EVENT_STREAM = "text/event-stream"

SINCE = "since"
LIMIT = "limit"
FEED = "feed"
TOKEN = "token"
COLLAPSE = "collapse"
SNAPSHOT = "snapshot"
WAIT = "wait"
LAST_EVENT_ID = "Last-Event-ID"
PREFERENCE_APPLIED = "Preference-Applied"

NOW = "now"
"""In the place of a cursor: from now on."""

METHODS = ("GET", "HEAD", "OPTIONS")

PUBLIC_CACHE = "public, max-age=1"
PRIVATE_CACHE = "private, no-cache"
NO_CACHE = "no-store"
PUBLIC_VARY = "Accept"
PRIVATE_VARY = "Accept, Authorization, Cookie"

CHALLENGE = "Bearer"
BAD_TOKEN_CHALLENGE = 'Bearer error="invalid_token"'

MAX_QUERY = 65_536
MAX_PARAMETERS = 1_000
MAX_ECHO = 200
"""The most characters of a request that an answer repeats."""

DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
