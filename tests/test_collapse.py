"""The net change: applying it gives what applying all changes gives."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from diffs.collapse import collapse
from diffs.diff import CREATE, DELETE, UPDATE, Diff

OBJECTS = st.tuples(st.sampled_from(["a.a", "b.b"]), st.sampled_from([1, "1", [1, 2]]))
DATA = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3))
World = dict[str, dict[str, Any]]


def key(diff: Diff) -> str:
    return repr((diff.model, diff.pk))


def apply(found: list[Diff], world: World) -> World:
    """What a client holds who begins with these objects and applies these diffs."""
    world = {name: dict(data) for name, data in world.items()}
    for diff in found:
        if diff.action == DELETE:
            world.pop(key(diff), None)
        elif diff.action == CREATE:
            world[key(diff)] = dict(diff.data)
        else:
            world[key(diff)] = {**world.get(key(diff), {}), **diff.data}
        if diff.action != DELETE:
            world[key(diff)].update(dict.fromkeys(diff.omitted, "to be fetched"))
    return world


@st.composite
def histories(draw: st.DrawFn) -> tuple[World, list[Diff]]:
    """Objects, and what happens to them: none is made that is there, or changed or deleted that isn't."""
    there: dict[str, bool] = {}
    world: World = {}
    found: list[Diff] = []
    for position, (model, pk) in enumerate(draw(st.lists(OBJECTS, max_size=15)), start=1):
        name = repr((model, pk))
        if name not in there:
            there[name] = draw(st.booleans())
            if there[name]:
                world[name] = draw(st.fixed_dictionaries(dict.fromkeys("xyz", st.integers(0, 3))))
        action = draw(st.sampled_from([UPDATE, DELETE])) if there[name] else CREATE
        there[name] = action != DELETE
        data = {} if action == DELETE else draw(DATA)
        if action == CREATE:
            data = {**dict.fromkeys("xyz", 0), **data}
        omitted = () if action == DELETE else tuple(draw(st.sets(st.sampled_from("xyz"))))
        found.append(
            Diff(
                id=str(position),
                action=action,
                data={name: value for name, value in data.items() if name not in omitted},
                omitted=omitted,
                position=position,
                cursor="",
                model=model,
                pk=pk,
                version=0,
            )
        )
    return world, found


@given(histories())
@hypothesis_settings(max_examples=500)
def test_the_net_change_makes_of_the_objects_what_all_changes_make(history: tuple[World, list[Diff]]) -> None:
    world, found = history
    before = list(found)
    net = collapse(found)
    assert apply(net, world) == apply(found, world)
    assert found == before
    assert len({key(diff) for diff in net}) == len(net)
    assert collapse(net) == net
    last = {key(diff): diff.id for diff in found}
    assert all(last[key(diff)] == diff.id for diff in net)
    assert [diff.position for diff in net] == sorted(diff.position for diff in net)
    assert all(diff.data.keys().isdisjoint(diff.omitted) for diff in net)


def happened(*actions: str) -> list[Diff]:
    return [
        Diff(
            id=str(position),
            action=action,  # type: ignore[arg-type]
            data={} if action == DELETE else {"text": str(position)},
            position=position,
            cursor=str(position),
            model="testapp.question",
            pk=1,
            version=position,
            actor=f"actor {position}",
        )
        for position, action in enumerate(actions, start=1)
    ]


@pytest.mark.parametrize(
    ("actions", "net"),
    [
        ([], None),
        ([CREATE], CREATE),
        ([UPDATE], UPDATE),
        ([DELETE], DELETE),
        ([CREATE, UPDATE, UPDATE], CREATE),
        ([UPDATE, UPDATE], UPDATE),
        ([UPDATE, DELETE], DELETE),
        ([CREATE, DELETE], None),
        ([CREATE, UPDATE, DELETE], None),
        ([DELETE, CREATE], CREATE),
        ([DELETE, CREATE, UPDATE], CREATE),
        ([DELETE, CREATE, DELETE], DELETE),
        ([UPDATE, DELETE, CREATE, UPDATE, DELETE], DELETE),
        ([CREATE, DELETE, CREATE], CREATE),
        ([CREATE, DELETE, CREATE, DELETE], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_net_change_of_one_object(actions: list[str], net: str | None) -> None:
    found = happened(*actions)
    if net is None:
        assert collapse(found) == []
    else:
        data = {} if net == DELETE else {"text": str(len(actions))}
        assert collapse(found) == [dataclasses.replace(found[-1], action=net, data=data)]  # type: ignore[arg-type]


def test_a_field_is_omitted_where_its_last_value_was() -> None:
    first, second, third = happened(CREATE, UPDATE, UPDATE)
    small, large = {"text": "small"}, {"text": "y"}
    first = dataclasses.replace(first, data=small)
    second = dataclasses.replace(second, data={"votes": 1}, omitted=("text",))
    assert collapse([first, second]) == [
        dataclasses.replace(second, action=CREATE, data={"votes": 1}, omitted=("text",))
    ]
    third = dataclasses.replace(third, data=large, omitted=("votes",))
    assert collapse([first, second, third]) == [
        dataclasses.replace(third, action=CREATE, data=large, omitted=("votes",))
    ]
