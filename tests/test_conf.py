"""`DIFFS_SETTINGS`: typed, read live, and what is wrong with them said."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import override_settings

from diffs import conf
from diffs.conf import Problem, settings
from diffs.errors import ConfigurationError

AGE = "a positive number of seconds, or a timedelta"
COUNT = "a positive whole number"
SWITCH = "True or False"
HOSTS = "None, or a list of host names as in ALLOWED_HOSTS"
ORIGINS = "a list of origins such as 'https://app.example.com', or ['*']"
TAKES = {
    "redis": "a dict: url, host, port, embedded, cluster, sentinels, or arguments of redis.Redis",
    "max_element_age": AGE,
    "max_elements": f"{COUNT}, or None",
    "max_diff_bytes": COUNT,
    "max_m2m": COUNT,
    "flush": "'commit' or 'background'",
    "versions": "'clock' or 'database'",
    "outbox": "True or False",
    "use_transactions": SWITCH,
    "test_mode": SWITCH,
    "prefix": "text without braces",
    "max_bulk_diffs": COUNT,
    "page_size": COUNT,
    "max_page_size": COUNT,
    "max_feeds": COUNT,
    "token_age": AGE,
    "public_actors": SWITCH,
    "max_wait": "a whole number of seconds, or 0",
    "stream_age": AGE,
    "heartbeat": AGE,
    "max_listeners": COUNT,
    "allowed_hosts": HOSTS,
    "cors_origins": ORIGINS,
}
DEFAULTS = {
    "redis": {},
    "max_element_age": 3_600_000_000,
    "max_elements": 10_000,
    "max_diff_bytes": 65_536,
    "max_m2m": 1000,
    "flush": "commit",
    "versions": "clock",
    "outbox": False,
    "use_transactions": True,
    "test_mode": False,
    "prefix": "diffs",
    "max_bulk_diffs": 10_000,
    "page_size": 100,
    "max_page_size": 1000,
    "max_feeds": 50,
    "token_age": 86_400_000_000,
    "public_actors": False,
    "max_wait": 60,
    "stream_age": 600.0,
    "heartbeat": 15.0,
    "max_listeners": 20_000,
    "allowed_hosts": None,
    "cors_origins": frozenset(),
}
MINUTE = dt.timedelta(minutes=1)
WRONG = [
    *[("redis", value) for value in ("redis://localhost", None, ["host"], {1: "host"}, {("host",)})],
    *[
        (name, value)
        for name in ("max_element_age", "token_age", "stream_age", "heartbeat")
        for value in (0, -1, -0.5, True, "3600", None, 1_000_000_000, float("inf"), float("nan"), MINUTE * 0, -MINUTE)
    ],
    *[
        (name, value)
        for name in ("use_transactions", "test_mode", "public_actors")
        for value in (0, 1, "yes", "", None, [])
    ],
    *[("flush", value) for value in ("", "Commit", None, True, ["commit"])],
    *[("versions", value) for value in ("", "row", None, True)],
    *[("outbox", value) for value in (None, 1, "yes")],
    *[("prefix", value) for value in ("", "a{b", "a}b", b"diffs", None, 7)],
    *[
        (name, value)
        for name in (
            "max_diff_bytes",
            "max_m2m",
            "max_bulk_diffs",
            "page_size",
            "max_page_size",
            "max_feeds",
            "max_listeners",
        )
        for value in (0, -1, True, 1.5, "10", None)
    ],
    *[("max_elements", value) for value in (0, -1, True, 1.5, "10", MINUTE)],
    *[("max_wait", value) for value in (-1, True, 1.5, "10", None, MINUTE, 1_000_000_000)],
    *[("allowed_hosts", value) for value in ([], "example.com", {"example.com"}, [None], [""], False)],
    *[
        ("cors_origins", value)
        for value in (
            None,
            "https://example.com",
            {"https://example.com"},
            [None],
            ["example.com"],
            ["https://example.com/"],
            ["https://Example.com"],
            ["https://example.com:port"],
            ["https://example.com\n"],
            ["null"],
            ["*", "https://example.com"],
            ["https://*.example.com"],
        )
    ],
]
RIGHT = [
    ("redis", {"host": "cache", "port": 6380}, {"host": "cache", "port": 6380}),
    ("max_element_age", 60, 60_000_000),
    ("max_element_age", 0.25, 250_000),
    ("max_element_age", 1e-9, 1),
    ("max_element_age", dt.timedelta(days=2), 172_800_000_000),
    ("token_age", MINUTE, 60_000_000),
    ("token_age", 1.5, 1_500_000),
    ("flush", "background", "background"),
    ("versions", "database", "database"),
    ("versions", "clock", "clock"),
    ("outbox", True, True),
    ("flush", "commit", "commit"),
    ("use_transactions", False, False),
    ("test_mode", True, True),
    ("prefix", "my site:diffs", "my site:diffs"),
    ("max_elements", 500, 500),
    ("max_elements", None, None),
    ("max_diff_bytes", 1024, 1024),
    ("max_m2m", 50, 50),
    ("max_bulk_diffs", 1, 1),
    ("page_size", 20, 20),
    ("page_size", 5000, 1000),
    ("max_page_size", 50, 50),
    ("max_feeds", 3, 3),
    ("public_actors", True, True),
    ("max_wait", 0, 0),
    ("max_wait", 25, 25),
    ("stream_age", MINUTE, 60.0),
    ("stream_age", 90, 90.0),
    ("heartbeat", 0.5, 0.5),
    ("max_listeners", 1, 1),
    ("allowed_hosts", None, None),
    ("allowed_hosts", ["example.com", ".example.org", "*"], ["example.com", ".example.org", "*"]),
    ("cors_origins", ["*"], frozenset(["*"])),
    (
        "cors_origins",
        ("https://example.com", "http://localhost:5173", "http://[::1]:80", "capacitor://localhost"),
        frozenset(["https://example.com", "http://localhost:5173", "http://[::1]:80", "capacitor://localhost"]),
    ),
]


def only(**raw: Any) -> Any:
    """These settings and no others."""
    return override_settings(DIFFS_SETTINGS=raw)


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_holds_where_nothing_is_set(name: str) -> None:
    with only():
        assert getattr(settings, name) == DEFAULTS[name]


def test_nothing_need_be_set_at_all() -> None:
    with override_settings():
        from django.conf import settings as django_settings

        del django_settings.DIFFS_SETTINGS
        assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
        assert list(conf.problems()) == []


@pytest.mark.parametrize(("name", "raw", "value"), RIGHT)
def test_setting_is_read_and_converted(name: str, raw: Any, value: Any) -> None:
    with only(**{name: raw}):
        assert getattr(settings, name) == value
        assert list(conf.problems()) == []


@pytest.mark.parametrize(("name", "raw"), WRONG)
def test_wrong_value_is_an_error_when_it_is_used_and_a_problem_before(name: str, raw: Any) -> None:
    with only(**{name: raw}):
        with pytest.raises(ConfigurationError) as caught:
            getattr(settings, name)
        found = list(conf.problems())
    assert str(caught.value) == f"DIFFS_SETTINGS[{name!r}] takes {TAKES[name]}."
    message = f"DIFFS_SETTINGS[{name!r}] has a value of the wrong type or range ({type(raw).__name__})."
    assert found == [Problem(message, f"It takes {TAKES[name]}.")]


def test_every_setting_is_covered_here() -> None:
    assert set(DEFAULTS) == set(TAKES) == {name for name in vars(conf.Settings) if not name.startswith("_")}
    assert {name for name, _ in WRONG} == {name for name, _, _ in RIGHT} == set(DEFAULTS)


def test_settings_are_read_live() -> None:
    with only(page_size=10):
        assert settings.page_size == 10
        with only(page_size=20):
            assert settings.page_size == 20
        assert settings.page_size == 10


def test_page_is_never_larger_than_the_largest() -> None:
    with only(page_size=500, max_page_size=200):
        assert settings.page_size == 200


def test_what_is_handed_out_is_not_the_project_s_own_dict() -> None:
    raw = {"host": "cache"}
    with only(redis=raw):
        settings.redis["host"] = "elsewhere"
        settings.redis["db"] = 7
        assert settings.redis == {"host": "cache"}
    assert raw == {"host": "cache"}


def test_list_that_is_changed_in_place_is_seen() -> None:
    origins = ["https://example.com"]
    with only(cors_origins=origins):
        assert settings.cors_origins == {"https://example.com"}
        origins[:] = ["https://example.org"]
        assert settings.cors_origins == {"https://example.org"}


def test_unknown_key_gets_the_nearest_known_one() -> None:
    with only(max_elment_age=60):
        assert list(conf.problems()) == [
            Problem(
                "DIFFS_SETTINGS has an unknown key 'max_elment_age'.",
                "Did you mean 'max_element_age'?",
                unknown_key=True,
            )
        ]


def test_key_that_resembles_none_gets_them_all() -> None:
    known = ", ".join(map(repr, sorted(DEFAULTS)))
    with only(zzz=1):
        assert list(conf.problems()) == [
            Problem("DIFFS_SETTINGS has an unknown key 'zzz'.", f"Known are {known}.", unknown_key=True)
        ]


def test_key_that_is_no_text_is_unknown() -> None:
    with override_settings(DIFFS_SETTINGS={7: 1}):
        (problem,) = conf.problems()
    assert (problem.message, problem.unknown_key) == ("DIFFS_SETTINGS has an unknown key 7.", True)


@pytest.mark.parametrize("raw", [None, [("page_size", 10)], "redis://localhost", 7])
def test_settings_that_are_no_dict_are_one_problem(raw: Any) -> None:
    with override_settings(DIFFS_SETTINGS=raw):
        assert list(conf.problems()) == [Problem("DIFFS_SETTINGS takes a dict.", "Write DIFFS_SETTINGS = {...}.")]
        with pytest.raises(ConfigurationError, match="DIFFS_SETTINGS takes a dict."):
            _ = settings.page_size


def test_all_problems_are_told_at_once() -> None:
    with only(page_size=0, prefix="", page_sise=3):
        assert [problem.message for problem in conf.problems()] == [
            "DIFFS_SETTINGS['page_size'] has a value of the wrong type or range (int).",
            "DIFFS_SETTINGS['prefix'] has a value of the wrong type or range (str).",
            "DIFFS_SETTINGS has an unknown key 'page_sise'.",
        ]


@pytest.mark.parametrize(
    ("age", "number"),
    [(1, 1_000_000), (0.0000004, 1), (1.0000004, 1_000_000), (MINUTE, 60_000_000), (3600.5, 3_600_500_000)],
)
def test_age_is_counted_in_whole_microseconds(age: Any, number: int) -> None:
    assert conf.microseconds(age) == number
