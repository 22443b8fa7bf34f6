"""The table of cases, through Django's view."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from .cases import CASES
from .stage import Case, make_stage


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def test_endpoint_answers(case: Case, client: Client) -> None:
    case = case.on(make_stage())

    response = client.generic(case.method, case.path, headers=dict(case.sent))

    document = json.loads(response.content) if response.content else None
    headers = {name: response.headers.get(name) for name in case.headers}
    assert (response.status_code, headers, document) == (case.status, case.headers, case.document)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]

    assert sorted(set(names)) == sorted(names)
