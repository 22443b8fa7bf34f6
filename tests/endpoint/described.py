"""Answers held against the OpenAPI document, which may leave nothing out."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import msgpack

from diffs.http import protocol
from diffs.http.openapi import document

# What servers, middleware and CORS add to any answer is no part of the endpoint's description.
FOREIGN_HEADERS = {
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "content-length",
    "content-type",
    "x-content-type-options",
    "x-accel-buffering",
}


@functools.cache
def described() -> dict[str, Any]:
    """The document of the site that the tests run in."""
    return document("/diffs/")


def strict(node: Any) -> Any:
    """Schemas that take no members but those that they name."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {"additionalProperties": False} if node.get("type") == "object" and "properties" in node else {}
    return {**{name: strict(item) for name, item in node.items()}, **closed}


@functools.cache
def validator(name: str, *, is_strict: bool = True) -> Any:
    """What checks values against one of the document's schemas."""
    schemas = described()["components"]["schemas"]
    root = {
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": strict(schemas) if is_strict else schemas},
    }
    return jsonschema_rs.validator_for(root)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference means."""
    while "$ref" in node:
        _, kind, name = node["$ref"].removeprefix("#/").split("/")
        node = described()["components"][kind][name]
    return node


def operation(path: str) -> dict[str, Any]:
    """The description of a path below ``/diffs/``, by method."""
    parts = path.partition("?")[0].removeprefix("/diffs/").strip("/").split("/")
    template = "/" if parts == [""] else "/{model}/" if len(parts) == 1 else "/{model}/{pk}/"
    item: dict[str, Any] = described()["paths"][template]
    return item


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Hold an answer against the document.

    Returns:
        The media type; empty where the answer has no body.

    Raises:
        AssertionError: the document doesn't describe it.
    """
    item = operation(path)
    if method.lower() in item:
        responses = item[method.lower()]["responses"]
        assert str(status) in responses, f"{method} isn't said to be answered {status}."
        response = resolved(responses[str(status)])
    else:
        assert status == 405, f"{method} is answered {status}."
        response = described()["components"]["responses"]["MethodNotAllowed"]
    _check_headers(response, {name.lower(): value for name, value in headers.items()})
    if not body:
        assert "content" not in response or status == 200, f"{status} is said to have a body."
        return ""
    media_type = {name.lower(): value for name, value in headers.items()}["content-type"]
    content = response["content"][media_type]
    value = msgpack.unpackb(body) if media_type == protocol.MSGPACK else json.loads(body)
    validator(content["schema"]["$ref"].rpartition("/")[2]).validate(value)
    return media_type


def _check_headers(response: dict[str, Any], headers: Mapping[str, str]) -> None:
    known = {name.lower(): resolved(header) for name, header in response.get("headers", {}).items()}
    undescribed = headers.keys() - known.keys() - FOREIGN_HEADERS - {"vary"}
    assert not undescribed, f"Not described: {undescribed}."
    for name, header in known.items():
        if name in headers:
            jsonschema_rs.validator_for(header["schema"]).validate(headers[name])
