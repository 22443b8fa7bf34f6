"""The endpoint as an OpenAPI 3.1 document, for whoever generates clients, tests or pages of it.

Beside this module, ``openapi.json`` is the document of a site that has changed no setting. ``python -m
diffs.http.openapi`` prints it, with the site's own settings where ``DJANGO_SETTINGS_MODULE`` names them.
"""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE
from django.conf import settings as django_settings

from diffs.conf import settings

from . import protocol
from .openapi_schemas import SCHEMAS

Node = dict[str, Any]

_DESCRIPTION = """\
Diffs of objects, polled, waited for or streamed. Whoever reads begins with a snapshot, or with a page and the cursor
that came with it, and goes on from the cursor of each answer.

`HEAD` is `GET` without a body and never waits or streams. Methods other than `GET`, `HEAD` and `OPTIONS` are answered
405 (`MethodNotAllowed`). Errors are `application/problem+json` whatever was asked for. Unknown parameters are ignored,
and so should unknown members of documents be: later releases may have more.
"""

_PATHS = {
    "/": ("several", "Several feeds at once", ()),
    "/{model}/": ("model", "The feed of a model", ("Model",)),
    "/{model}/{pk}/": ("object", "The feed of an object", ("Model", "Pk")),
}
_COMMON = ("Limit", "Collapse", "Wait", "Prefer", "LastEventId", "IfNoneMatch")


def document(mount: str = "/diffs/") -> Node:
    """The document, with the bounds of this site's settings.

    Args:
        mount: where the endpoint is: a path, or an address.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "django-diffs", "version": protocol.VERSION, "description": _DESCRIPTION},
        "servers": [{"url": mount.rstrip("/")}],
        # A public feed needs nothing, and the answer says where one isn't.
        "security": [{}, {"feedToken": []}, {"feedTokenInQuery": []}, {"session": []}],
        "paths": {path: _path_item(*what) for path, what in _PATHS.items()},
        "components": {
            "securitySchemes": _security_schemes(),
            "parameters": _parameters(),
            "headers": _headers(),
            "responses": _responses(),
            "schemas": SCHEMAS,
        },
    }


def _path_item(name: str, summary: str, in_path: tuple[str, ...]) -> Node:
    several = name == "several"
    names = [*(("Feed", "Tokens") if several else ("Since", "Token")), *_COMMON]
    if name == "object":
        names.append("Snapshot")
    page = "Pages" if several else "SnapshotPage" if name == "object" else "Page"
    item: Node = {}
    if in_path:
        item["parameters"] = [_reference("parameters", one) for one in in_path]
    for method in ("get", "head"):
        item[method] = {
            "operationId": f"{method}_{name}",
            "summary": summary if method == "get" else f"{summary}: the headers alone",
            "parameters": [_reference("parameters", one) for one in names],
            "responses": _answers(page if method == "get" else None),
        }
    item["options"] = {
        "operationId": f"options_{name}",
        "summary": "Which methods there are",
        "security": [{}],
        "responses": {
            "204": {"description": "Nobody is asked for permission.", "headers": {"Allow": _header("Allow")}},
            "400": _reference("responses", "BadRequest"),
        },
    }
    return item


def _answers(page: str | None) -> Node:
    headers = {name: _header(name) for name in ("Cache-Control", "ETag", "Vary", protocol.PREFERENCE_APPLIED)}
    found: Node = {
        "description": "A page; where an event stream was asked for, and the site streams, the stream. It has none of "
        "the headers but `Cache-Control: no-store`.",
        "headers": headers,
    }
    if page is not None:
        schema = _reference("schemas", page)
        found["content"] = {
            protocol.JSON: {"schema": schema},
            protocol.MSGPACK: {"schema": schema},
            protocol.EVENT_STREAM: {"schema": _reference("schemas", "EventStream")},
        }
    unchanged = {"description": "The page is the one of `If-None-Match`.", "headers": headers}
    names = {
        "400": "BadRequest",
        "401": "Unauthorized",
        "403": "Forbidden",
        "404": "NotFound",
        "410": "Gone",
        "503": "Unavailable",
    }
    return {
        "200": found,
        "304": unchanged,
        **{
            status: _reference("responses", name if page is not None else f"{name}Head")
            for status, name in names.items()
        },
    }


def _reference(kind: str, name: str) -> Node:
    return {"$ref": f"#/components/{kind}/{name}"}


def _header(name: str) -> Node:
    return _reference("headers", name)


def _security_schemes() -> Node:
    token = "A feed token, as the site makes it by `diffs.feed_token`."
    return {
        "feedToken": {"type": "http", "scheme": "bearer", "description": f"{token} Several with commas between."},
        "feedTokenInQuery": {
            "type": "apiKey",
            "in": "query",
            "name": protocol.TOKEN,
            "description": f"{token} Addresses end up in logs: prefer the header.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": django_settings.SESSION_COOKIE_NAME,
            "description": "Django's session, unless the site says otherwise who reads.",
        },
    }


def _parameters() -> Node:
    def parameter(place: str, name: str, description: str, schema: Node, **other: Any) -> Node:
        return {"name": name, "in": place, "description": description, "schema": schema, **other}

    def flag(name: str, description: str) -> Node:
        return parameter("query", name, description, {"enum": ["1", "0", ""]}, allowEmptyValue=True)

    start = {
        "anyOf": [
            _reference("schemas", "Cursor"),
            {"const": protocol.NOW},
            {"const": ""},
        ]
    }
    token: Node = {"type": "string", "pattern": r"^diffs\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
    most = settings.max_feeds
    return {
        "Model": parameter(
            "path",
            "model",
            "Application label and model name in small letters: `polls.question`.",
            {"type": "string", "pattern": r"^[^/]+$"},
            required=True,
        ),
        "Pk": parameter(
            "path",
            "pk",
            "The primary key, quoted as Django's admin does it; parts of a composite one have commas between.",
            {"type": "string", "minLength": 1},
            required=True,
        ),
        "Feed": parameter(
            "query",
            protocol.FEED,
            "The feeds, each `<cursor>@<model>:<pk>` or, for a model's, `<cursor>@<model>`; the cursor may be `now` or "
            "empty. Each once.",
            {
                "type": "array",
                "minItems": 1,
                "maxItems": most,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[A-Za-z0-9_-]*@[^:]+(:[^\\x00]*)?$"},
            },
            required=True,
            style="form",
            explode=True,
        ),
        "Since": parameter(
            "query",
            protocol.SINCE,
            "A cursor exactly as it was handed out; `now` for an empty page and a cursor; none for all that is kept.",
            start,
            allowEmptyValue=True,
        ),
        "Limit": parameter(
            "query",
            protocol.LIMIT,
            "The most diffs of each feed.",
            {"type": "integer", "minimum": 1, "maximum": settings.max_page_size, "default": settings.page_size},
            allowEmptyValue=True,
        ),
        "Collapse": flag(protocol.COLLAPSE, "1: the page's diffs folded to the net change of each object."),
        "Snapshot": flag(protocol.SNAPSHOT, "1: the object as it is now, and a cursor, instead of diffs."),
        "Wait": parameter(
            "query",
            protocol.WAIT,
            "For how many seconds to wait where there is nothing new; granted where the answer has "
            f"`{protocol.PREFERENCE_APPLIED}`.",
            {"type": "integer", "minimum": 0, "maximum": settings.max_wait, "default": 0},
            allowEmptyValue=True,
        ),
        "Token": parameter("query", protocol.TOKEN, "A feed token. Prefer the header.", token),
        "Tokens": parameter(
            "query",
            protocol.TOKEN,
            "Feed tokens, not more than feeds. Prefer the header.",
            {"type": "array", "maxItems": most, "items": token},
            style="form",
            explode=True,
        ),
        "Prefer": parameter("header", "Prefer", "`wait=<seconds>`, as RFC 7240 has it.", {"type": "string"}),
        "LastEventId": parameter(
            "header",
            protocol.LAST_EVENT_ID,
            "From where to go on with an event stream: the last `id`; of several feeds their cursors with commas "
            "between. Pages ignore it.",
            {"type": "string"},
        ),
        "IfNoneMatch": parameter(
            "header", "If-None-Match", "The `ETag` of a page that the client has.", {"type": "string"}
        ),
    }


def _headers() -> Node:
    def header(description: str, **schema: Any) -> Node:
        return {"description": description, "schema": {"type": "string", **schema}}

    caching = [protocol.PUBLIC_CACHE, protocol.PRIVATE_CACHE, protocol.NO_CACHE]
    return {
        "Allow": header("The methods that there are.", const=", ".join(protocol.METHODS)),
        "Cache-Control": header("Who may keep the answer; never a shared cache what is for one reader.", enum=caching),
        "ETag": header("Of a page, weak.", pattern=r'^W/"[0-9a-f]{24}"$'),
        "Vary": header("What the page depends on."),
        protocol.PREFERENCE_APPLIED: header("The answer waits, or would have.", pattern="^wait=[0-9]+$"),
        "WWW-Authenticate": header(
            "A wrong token is told from none.", enum=[protocol.CHALLENGE, protocol.BAD_TOKEN_CHALLENGE]
        ),
        "Retry-After": header("Seconds.", pattern="^[0-9]+$"),
    }


def _responses() -> Node:
    described = {
        "BadRequest": ("The query is malformed: `parameter` says where.", "Problem", ()),
        "Unauthorized": (
            "Log in, or send a feed token; or the token is wrong, expired, for another feed or for another user.",
            "Problem",
            ("WWW-Authenticate",),
        ),
        "Forbidden": ("Logged in, but not allowed.", "Problem", ()),
        "NotFound": ("There is no such feed, or no such object to make a snapshot of.", "Problem", ()),
        "MethodNotAllowed": ("Diffs can only be read.", "Problem", ("Allow",)),
        "Gone": (
            "The cursor is no longer honoured: fetch the object again, and go on from `cursor`.",
            "Refusal",
            (),
        ),
        "Unavailable": ("Redis is away, or too many wait or listen.", "Problem", ("Retry-After",)),
    }
    responses: Node = {}
    for name, (description, schema, headers) in described.items():
        bare: Node = {
            "description": description,
            "headers": {header: _header(header) for header in ("Cache-Control", *headers)},
        }
        content = {protocol.PROBLEM: {"schema": _reference("schemas", schema)}}
        responses[name] = {**bare, "content": content}
        if name != "MethodNotAllowed":
            responses[f"{name}Head"] = bare
    return responses


def _main() -> None:
    if not (django_settings.configured or ENVIRONMENT_VARIABLE in os.environ):
        django_settings.configure()
    print(json.dumps(document(), indent=2))


if __name__ == "__main__":
    _main()
