"""What type checkers see of the public names: `mypy` reads this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db import models
from typing_extensions import assert_type

import diffs
from diffs import Diff, Feed, FeedManager


@diffs.register
class Bare(models.Model):
    name = models.TextField()


@diffs.register(exclude=["name"], parent="bare", max_element_age=60, permission="public")
class Configured(models.Model):
    name = models.TextField()
    bare = models.ForeignKey(Bare, models.CASCADE)


class Called(models.Model):
    name = models.TextField()


assert_type(Bare(), Bare)
assert_type(Configured().name, str)
assert_type(diffs.register(Called), type[Called])
assert_type(diffs.register(Called, fields=("name",), model_feed=True, accessor="changes"), type[Called])
diffs.register("app.Model", databases=["default"])
assert_type(diffs.register(Called, narrow=True, full_saves="changed"), type[Called])
decorator: Callable[[type[Called]], type[Called]] = diffs.register(parent=("a", "b"))

diffs.register(Called, ["name"])  # type: ignore[call-overload]
diffs.register(Called, excluded=["name"])  # type: ignore[call-overload]
diffs.register(Called, model_feed="yes")  # type: ignore[call-overload]
diffs.register(Called, narrow=1)  # type: ignore[call-overload]
diffs.register(Called, full_saves="some")  # type: ignore[call-overload]
diffs.register(5)  # type: ignore[call-overload]

feed = diffs.feed_of(Bare())
assert_type(feed, Feed)
assert_type(feed[0], Diff)
assert_type(feed[1:], list[Diff])
assert_type(iter(feed), Iterator[Diff])
assert_type(len(feed), int)
assert_type(feed.since(feed.cursor).latest(5), Feed)
assert_type(feed.collapse(), list[Diff])
assert_type(feed[-1].action, diffs.diff.Action)
assert_type(diffs.snapshot(Bare, 1), tuple[Bare, str])


def with_manager(manager: FeedManager[Bare]) -> None:
    assert_type(manager.for_object(1), Feed)
    assert_type(manager.get_by_object_id(1), list[Diff])
    assert_type(manager.all(), Feed)


def blocks(user: Any) -> None:
    with diffs.disabled(), diffs.actor(user):
        diffs.touch(Bare)
        diffs.touch(Bare())
