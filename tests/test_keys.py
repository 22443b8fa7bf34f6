"""Names of feeds and keys: every name comes back from its key, and no name lands in another's place."""

from __future__ import annotations

import collections
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from diffs.keys import SHARDS, FeedName, Keyspace, join_pk, parse_feed, split_pk

ENCODABLE = st.characters(exclude_categories=["Cs"])
TRICKY = st.text(st.sampled_from("{}:*?[]^-\\,~ .aä€𝄞\n\0/@%"))
TEXT = TRICKY | st.text(ENCODABLE)
# A model's label has no colon: Python's names and Django's labels can't.
MODELS = st.from_regex(r"[a-z_]\w{0,8}\.\w{1,9}", fullmatch=True)
NAMES = st.builds(FeedName, MODELS, st.none() | TEXT)
PREFIXES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), min_size=1) | st.sampled_from(
    ["diffs", "a*b", "[a-z]", "\\", "^?", "two words:"]
)


@given(NAMES)
@example(FeedName("polls.question", ""))
@example(FeedName("polls.question", ":"))
@example(FeedName("polls.question", "}:feed:polls.question:1"))
def test_name_survives_its_text(name: FeedName) -> None:
    assert parse_feed(str(name)) == name


@given(PREFIXES, NAMES)
@example("diffs", FeedName("polls.question", "}:feed:x"))
@example("diffs", FeedName("polls.question", "{3f}"))
def test_feed_is_found_again_from_its_key_whatever_its_name(prefix: str, name: FeedName) -> None:
    keys = Keyspace(prefix)
    assert keys.feed_of_key(keys.feed(name)) == name
    assert keys.feed_of_key(keys.floor(name)) is None
    assert keys.feed_of_key(keys.meta(name.shard)) is None


@given(PREFIXES, NAMES)
@example("diffs", FeedName("polls.question", "}:feed:x"))
@example("ä€", FeedName("polls.question"))
def test_keys_of_feeds_are_told_from_others_without_making_names(prefix: str, name: FeedName) -> None:
    keys = Keyspace(prefix)
    key = keys.feed(name).encode()
    others = [keys.floor(name), keys.meta(name.shard), f"{prefix}:{{{name.shard}}}:feed:", f"x{keys.feed(name)}", ""]
    assert sorted_keys(prefix, key, *(other.encode() for other in others), b"\xff" * 30) == {
        name.shard: {name.model.encode(): [key]}
    }


def sorted_keys(prefix: str, *found: bytes) -> dict[str, dict[bytes, list[bytes]]]:
    into: list[dict[bytes, list[bytes]]] = [collections.defaultdict(list) for _ in SHARDS]
    Keyspace(prefix).sorter()(found, into)
    return {shard: dict(models) for shard, models in zip(SHARDS, into, strict=True) if models}


@given(PREFIXES, NAMES)
def test_hash_tag_is_the_shard_whatever_the_name(prefix: str, name: FeedName) -> None:
    keys = Keyspace(prefix)
    for key in (keys.feed(name), keys.floor(name), keys.meta(name.shard)):
        tag = key[key.index("{") + 1 :]
        assert tag[: tag.index("}")] == name.shard
    assert name.shard in SHARDS


@given(NAMES, st.sampled_from(SHARDS))
def test_key_under_another_shard_than_the_name_s_is_nobody_s(name: FeedName, shard: str) -> None:
    assume(shard != name.shard)
    key = f"diffs:{{{shard}}}:feed:{name}"
    assert Keyspace("diffs").feed_of_key(key) is None
    assert sorted_keys("diffs", key.encode()) == {}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "diffs",
        "diffs:",
        "diffs:{",
        "diffs:{2a}:feed:",
        "diffs:{00}:feed:",
        "diffs:{2a}:meta",
        "other:{2a}:feed:polls.question",
        "xdiffs:{2a}:feed:polls.question",
        "diffs:{2a}",
        "diffs:2a:feed:polls.question",
    ],
)
def test_key_that_is_no_feed_s_is_nobody_s(key: str) -> None:
    assert Keyspace("diffs").feed_of_key(key) is None


@given(NAMES, NAMES)
def test_different_feeds_have_different_keys(one: FeedName, other: FeedName) -> None:
    assume(one != other)
    keys = Keyspace("diffs")
    assert len({keys.feed(one), keys.feed(other), keys.floor(one), keys.floor(other)}) == 4


def matches(pattern: str, key: str) -> bool:
    """Redis's glob: a backslash takes the meaning from what follows."""
    translated = ""
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            translated += re.escape(next(characters))
        else:
            translated += {"*": ".*", "?": "."}.get(character) or re.escape(character)
    return re.fullmatch(translated, key, re.DOTALL) is not None


@given(PREFIXES, NAMES)
def test_patterns_match_every_feed_of_the_prefix_and_of_the_model(prefix: str, name: FeedName) -> None:
    keys = Keyspace(prefix)
    key = keys.feed(name)
    assert sum(matches(pattern, key) for pattern in keys.feed_pattern()) == 1
    assert sum(matches(pattern, key) for pattern in keys.feed_pattern(name.model)) == 1
    assert not any(matches(pattern, keys.floor(name)) for pattern in keys.feed_pattern())
    assert not any(matches(pattern, keys.meta(name.shard)) for pattern in keys.feed_pattern())


@given(MODELS, NAMES)
def test_patterns_of_a_model_match_no_other_model_s_feeds(model: str, name: FeedName) -> None:
    assume(model != name.model)
    keys = Keyspace("diffs")
    assert not any(matches(pattern, keys.feed(name)) for pattern in keys.feed_pattern(model))


@pytest.mark.parametrize("prefix", ["a*", "a?", "[ab]", "a\\", "^a"])
def test_prefix_with_glob_characters_matches_only_itself(prefix: str) -> None:
    other = Keyspace("ab").feed(FeedName("polls.question", "1"))
    assert not any(matches(pattern, other) for pattern in Keyspace(prefix).feed_pattern())


@pytest.mark.parametrize(
    ("text", "shard"),
    [
        ("polls.question", "12"),
        ("polls.question:42", "1c"),
        ("polls.question:43", "0a"),
        ("polls.choice:1", "39"),
        ("auth.user:a b", "39"),
        ("shop.größe:ä€𝄞", "34"),
        ("shop.item:{3f}", "03"),
        ("shop.item:", "0f"),
        ("shop.pair:1,~,2", "01"),
    ],
)
def test_shards_stay_what_they_are_because_stored_keys_name_them(text: str, shard: str) -> None:
    assert parse_feed(text).shard == shard


def test_there_are_64_shards_of_two_hexadecimal_digits() -> None:
    assert tuple(f"{number:02x}" for number in range(64)) == SHARDS


def test_feeds_spread_evenly_over_the_shards() -> None:
    counts = collections.Counter(FeedName("polls.question", str(pk)).shard for pk in range(64_000))
    assert set(counts) == set(SHARDS)
    assert max(counts.values()) < 1100
    assert min(counts.values()) > 900


@given(st.text())
def test_even_text_that_has_no_utf_8_form_has_a_shard(pk: str) -> None:
    assert FeedName("polls.question", pk).shard in SHARDS


@given(st.lists(TEXT | st.text(st.sampled_from(",~")), min_size=1))
@example([""])
@example(["", ""])
@example(["~", ","])
@example(["a~", "b"])
def test_composite_key_survives_its_text(parts: list[str]) -> None:
    assert split_pk(join_pk(parts)) == parts


@given(st.lists(TRICKY, min_size=1), st.lists(TRICKY, min_size=1))
def test_different_composite_keys_have_different_texts(one: list[str], other: list[str]) -> None:
    assert (join_pk(one) == join_pk(other)) is (one == other)


@given(st.text())
def test_any_text_can_be_split(text: str) -> None:
    parts = split_pk(text)
    assert split_pk(join_pk(parts)) == parts


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["1"], "1"), (["1", "2"], "1,2"), (["a,b", "c"], "a~,b,c"), (["a~", ""], "a~~,"), ([""], "")],
)
def test_text_of_a_composite_key(parts: list[str], text: str) -> None:
    assert join_pk(parts) == text


def test_keys_are_spelt_as_documented() -> None:
    keys = Keyspace("diffs")
    name = FeedName("polls.question", "42")
    assert name.shard == "1c"
    assert keys.feed(name) == "diffs:{1c}:feed:polls.question:42"
    assert keys.floor(name) == "diffs:{1c}:floor:polls.question:42"
    assert keys.meta(name.shard) == "diffs:{1c}:meta"
    assert list(keys.feed_pattern()) == ["diffs:{??}:feed:*"]
    assert list(keys.feed_pattern("polls.question")) == [
        "diffs:{??}:feed:polls.question:*",
        "diffs:{??}:feed:polls.question",
    ]
