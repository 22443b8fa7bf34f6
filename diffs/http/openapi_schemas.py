"""What the endpoint's documents hold, as JSON Schema."""

from __future__ import annotations

from typing import Any

from diffs.codec import MAX_SAFE_INTEGER
from diffs.diff import CREATE, DELETE, UPDATE

Schema = dict[str, Any]


def _object(description: str, required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _text(description: str, **other: Any) -> Schema:
    return {"type": "string", "description": description, **other}


def _one(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_MODEL = _text("Application label and model name in small letters.")
_FEED = _text("The feed's name: `polls.question:42`, or `polls.question` for a model's.")
_PAGE = {
    "cursor": _one("Cursor"),
    "more": {"type": "boolean", "description": "Whether to ask again at once; a short page doesn't say so."},
    "diffs": {"type": "array", "description": "Oldest first.", "items": _one("Diff")},
}
_PROBLEM = {
    "type": _text("Of general kinds: the status says which.", const="about:blank"),
    "title": _text("The status in words."),
    "status": {"type": "integer", "minimum": 400, "maximum": 599},
    "detail": _text("A sentence for whoever reads the client's log."),
}

SCHEMAS: Schema = {
    "Cursor": _text("Where to go on: hand it back unread.", pattern="^[A-Za-z0-9_-]+$", maxLength=64),
    "Pk": {
        "description": "A primary key; a list where it is composite.",
        "type": ["integer", "string", "boolean", "array"],
        "items": {"type": ["integer", "string", "boolean"]},
    },
    "Diff": _object(
        "One committed change of one object.",
        {
            "id": _text("The same in every feed that holds the diff.", pattern="^[0-9a-f]{22}$"),
            "action": {"enum": [CREATE, UPDATE, DELETE]},
            "model": _MODEL,
            "pk": _one("Pk"),
            "timestamp": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_SAFE_INTEGER,
                "description": "Microseconds since 1970, given by Redis; strictly increasing in a feed.",
            },
            "version": {
                "description": "Orders the diffs of one object; text where JavaScript holds no such number.",
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER},
                    {"type": "string", "pattern": "^[0-9]{16,17}$"},
                ],
            },
            "data": {"type": "object", "description": "The changed fields' new values; empty for a deletion."},
        },
        {
            "actor": _text("Who did it, where that was recorded and may be shown."),
            "omitted": {
                "type": "array",
                "description": "Changed fields whose values were too large to be kept.",
                "items": {"type": "string"},
            },
        },
    ),
    "Page": _object("What came after a cursor.", _PAGE),
    "SnapshotPage": _object(
        "What came after a cursor; or the object as it is, with the cursor to go on from.",
        _PAGE,
        {"snapshot": _object("The object as it is.", {"model": _MODEL, "pk": _one("Pk"), "data": {"type": "object"}})},
    ),
    "Pages": _object(
        "What there is of several feeds, in the order of the request.",
        {
            "feeds": {
                "type": "array",
                "items": {
                    "anyOf": [
                        _object("A feed's page.", {"feed": _FEED, **_PAGE}),
                        _object("A feed whose cursor is refused.", {"feed": _FEED, "error": _one("Refusal")}),
                    ]
                },
            }
        },
    ),
    "Problem": _object(
        "A problem as RFC 9457 has it.",
        _PROBLEM,
        {
            "parameter": _text("The parameter that is malformed."),
            "feed": _text("Of several feeds the one it is about."),
        },
    ),
    "Refusal": _object(
        "The cursor is refused.",
        {
            **_PROBLEM,
            "status": {"const": 410},
            "reason": _text(
                "`window`: too old; `reset`: changes were dropped or lost since; `unknown`: never handed out.",
                enum=["window", "reset", "unknown"],
            ),
            "cursor": _one("Cursor"),
        },
        {"feed": _FEED},
    ),
    "EventStream": _text(
        "Server-sent events: a diff is an event without a name, with `feed` first where there are several; `reset` has "
        "a refusal, `resume` the reason why the stream ends. Each `id` is the cursor to go on from."
    ),
}
