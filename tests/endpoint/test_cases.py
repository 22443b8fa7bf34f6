"""The table of cases, by every way into the endpoint."""

from __future__ import annotations

import json

import pytest

from .cases import CASES
from .stage import Case, make_stage
from .ways import WAYS


@pytest.mark.parametrize(
    ("way", "case"),
    [
        pytest.param(
            way,
            case,
            id=f"{way}-{case.name.replace(' ', '_')}",
            # Before rules are asked, connections that other tests left open are looked at.
            marks=[pytest.mark.django_db] if way == "asgi" else [],
        )
        for case in CASES
        for way in WAYS
        if way in case.ways
    ],
)
def test_endpoint_answers(case: Case, way: str) -> None:
    case = case.on(make_stage())

    response = WAYS[way]().generic(case.method, case.path, headers=dict(case.sent))

    document = json.loads(response.content) if response.content else None
    headers = {name: response.headers.get(name) for name in case.headers}
    assert (response.status_code, headers, document) == (case.status, case.headers, case.document)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]

    assert sorted(set(names)) == sorted(names)
