"""Every form of registration, what it refuses and why, and that it can be taken back without a trace."""

from __future__ import annotations

import datetime as dt
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.models import signals
from django.db.models.deletion import Collector
from django.db.models.query import QuerySet
from django.db.models.sql.subqueries import UpdateQuery
from django.test.utils import isolate_apps

import diffs
from diffs import registry
from diffs.errors import NotRegistered, RegistrationError
from diffs.feed import FeedManager
from diffs.registration import Options, Registration, find, find_label, registrations, require, takes_created, window_of
from diffs.testing import registered
from tests.capture.plain import nothing_registered
from tests.capture.recorded import Recording
from tests.testapp.models import (
    Airport,
    Author,
    Bar,
    Choice,
    Contact,
    Dear,
    Document,
    Friendly,
    HotQuestion,
    Invoice,
    Letter,
    Note,
    Patch,
    Place,
    Question,
    Restaurant,
    Snapshot,
    Tag,
    Ticker,
    Venue,
)

ROOT = Path(__file__).resolve().parent.parent

PATCHED = [
    (QuerySet, "update"),
    (QuerySet, "bulk_create"),
    (QuerySet, "bulk_update"),
    (Collector, "collect"),
    (Collector, "delete"),
    (UpdateQuery, "update_batch"),
    (models.Model, "save"),
    (models.Model, "_do_update"),
    (BaseDatabaseWrapper, "commit"),
    (BaseDatabaseWrapper, "set_autocommit"),
    (BaseDatabaseWrapper, "savepoint_rollback"),
]
SIGNALS = [getattr(signals, name) for name in dir(signals) if isinstance(getattr(signals, name), signals.ModelSignal)]


@pytest.fixture
def recording(transactional_db: None) -> Recording:
    """What the test records."""
    return Recording()


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Apps]:
    """Models that a test defines are seen by it alone; afterwards none of them is registered."""
    before = set(registrations())
    with isolate_apps("tests.testapp") as found:
        monkeypatch.setattr(registry, "apps", found)
        found.apps_ready = found.models_ready = found.ready = True
        yield found
        for registration in set(registrations()) - before:
            registry.unregister(registration.model)


def define(
    called: str = "Thing", /, *bases: type, is_proxy: bool = False, is_abstract: bool = False, **fields: Any
) -> Any:
    """A model class with these fields."""
    meta = type("Meta", (), {"app_label": "testapp", "proxy": is_proxy, "abstract": is_abstract})
    return type(called, bases or (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


class TestForms:
    def test_a_bare_decorator_gives_the_class_back(self, isolated: Apps) -> None:
        thing = define()
        assert diffs.register(thing) is thing
        assert require(thing).options == Options()
        assert isinstance(thing.diffs, FeedManager)

    def test_a_decorator_with_options_gives_the_class_back(self, isolated: Apps) -> None:
        thing = define(name=models.CharField(max_length=5), secret=models.CharField(max_length=5))
        assert diffs.register(exclude=["secret"], model_feed=True)(thing) is thing
        assert require(thing).options == Options(exclude=("secret",), model_feed=True)

    def test_a_decorator_without_options_may_have_parentheses(self, isolated: Apps) -> None:
        thing = define()
        assert diffs.register()(thing) is thing
        assert find(thing) is not None

    def test_a_model_that_isnt_yours_is_registered_by_a_call(self, isolated: Apps) -> None:
        thing = define()
        assert diffs.register(thing, model_feed=True) is thing
        assert require(thing).options == Options(model_feed=True)

    def test_a_label_is_enough(self, isolated: Apps) -> None:
        thing = define()
        assert diffs.register("testapp.Thing", max_element_age=5) is thing
        assert require(thing).options == Options(max_element_age=5)

    def test_a_label_may_come_before_the_model(self, isolated: Apps) -> None:
        isolated.models_ready = isolated.ready = False
        assert diffs.register("testapp.Thing", model_feed=True) is None
        thing = define()
        assert require(thing).options == Options(model_feed=True)

    def test_all_options_together(self, isolated: Apps) -> None:
        def allowed(request: Any, model: Any, pk: Any) -> bool:
            return True

        thing = diffs.register(
            fields={"name"},
            exclude=("owner_id",),
            parent="owner",
            model_feed=True,
            max_element_age=dt.timedelta(minutes=1),
            max_elements=50,
            permission=allowed,
            databases=["default", "other"],
            accessor="changes",
            narrow=True,
            full_saves="changed",
        )(define(name=models.TextField(), owner=models.ForeignKey(Author, models.CASCADE)))
        registration = require(thing)
        assert registration.options == Options(
            fields=("name",),
            exclude=("owner_id",),
            parent=("owner",),
            model_feed=True,
            max_element_age=dt.timedelta(minutes=1),
            max_elements=50,
            permission=allowed,
            databases=("default", "other"),
            accessor="changes",
            narrow=True,
            full_saves="changed",
        )
        assert (repr(registration), registration.window) == ("<Registration: testapp.thing>", 60_000_000)
        assert isinstance(thing.changes, FeedManager)
        assert not hasattr(thing, "diffs")

    def test_the_callers_lists_are_left_alone_and_changing_them_later_changes_nothing(self, isolated: Apps) -> None:
        excluded, parents = ["secret"], ["owner"]
        owner, secret = models.ForeignKey(Author, models.CASCADE), models.TextField()
        thing = diffs.register(exclude=excluded, parent=parents)(define(owner=owner, secret=secret))
        assert (excluded, parents) == (["secret"], ["owner"])
        excluded.clear()
        parents.append("nobody")
        assert require(thing).options == Options(exclude=("secret",), parent=("owner",))

    def test_a_foreign_key_may_be_named_by_its_column(self, isolated: Apps) -> None:
        thing = diffs.register(parent="owner_id")(define(owner=models.ForeignKey(Author, models.CASCADE)))
        assert [(parent.name, parent.attname, parent.model) for parent in require(thing).parents] == [
            ("owner", "owner_id", Author)
        ]


FIELDS: dict[str, Any] = {"name": models.TextField, "votes": models.IntegerField}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field to leave out": (
        {"exclude": ["nmae"]},
        "testapp.Thing has no field 'nmae', which exclude= names. Did you mean 'name'?",
    ),
    "an unknown field to show": (
        {"fields": ["xyz"]},
        "testapp.Thing has no field 'xyz', which fields= names. Known are 'id', 'name', 'owner', 'owner_id', 'votes'.",
    ),
    "a reverse relation to show": (
        {"fields": ["things"]},
        "testapp.Thing has no field 'things', which fields= names. "
        "Known are 'id', 'name', 'owner', 'owner_id', 'votes'.",
    ),
    "an unknown parent": (
        {"parent": "onwer"},
        "testapp.Thing has no foreign key 'onwer', which parent= names. Did you mean 'owner'?",
    ),
    "a parent that is no foreign key": (
        {"parent": "votes"},
        "testapp.Thing has no foreign key 'votes', which parent= names. Known are 'owner'.",
    ),
    "text for a list": ({"exclude": "name"}, "exclude= takes a list of names."),
    "text for a list of fields": ({"fields": "name"}, "fields= takes a list of names."),
    "numbers for names": ({"fields": [1]}, "fields= takes a list of names."),
    "numbers for parents": ({"parent": [1]}, "parent= takes a list of names."),
    "text for a list of databases": ({"databases": "default"}, "databases= takes a list of names."),
    "no database": ({"databases": []}, "databases= takes at least one alias."),
    "a window of no length": (
        {"max_element_age": 0},
        "max_element_age= takes a positive number of seconds, or a timedelta.",
    ),
    "a window that is text": (
        {"max_element_age": "1h"},
        "max_element_age= takes a positive number of seconds, or a timedelta.",
    ),
    "a negative window": (
        {"max_element_age": dt.timedelta(seconds=-1)},
        "max_element_age= takes a positive number of seconds, or a timedelta.",
    ),
    "a bound of nothing": ({"max_elements": 0}, "max_elements= takes a positive whole number."),
    "a bound that is no number": ({"max_elements": "10"}, "max_elements= takes a positive whole number."),
    "a bound that is yes": ({"max_elements": True}, "max_elements= takes a positive whole number."),
    "an unknown rule": (
        {"permission": "everybody"},
        "permission= takes 'public', 'authenticated', the name of a permission ('app.codename'), or a function of "
        "request, model and primary key.",
    ),
    "a rule that is true": (
        {"permission": True},
        "permission= takes 'public', 'authenticated', the name of a permission ('app.codename'), or a function of "
        "request, model and primary key.",
    ),
    "an accessor that is no name": ({"accessor": "my diffs"}, "accessor= takes the name of an attribute."),
    "an accessor that is no text": ({"accessor": None}, "accessor= takes the name of an attribute."),
    "a model feed that is a number": ({"model_feed": 1}, "model_feed= takes True or False."),
    "narrowing that is a text": ({"narrow": "yes"}, "narrow= takes True or False."),
    "an unknown way to tell": ({"full_saves": "some"}, "full_saves= takes 'changed' or 'all'."),
    "no way to tell": ({"full_saves": None}, "full_saves= takes 'changed' or 'all'."),
    "narrowing, and telling more than is written": (
        {"narrow": True, "full_saves": "all"},
        "narrow=True already makes diffs hold all that is written, and writes only what changed: leave "
        "full_saves='all' out, or narrow.",
    ),
    "an accessor that a field has": (
        {"accessor": "votes"},
        "testapp.Thing has an attribute 'votes' already: choose another with accessor=.",
    ),
    "an accessor that a method has": (
        {"accessor": "save"},
        "testapp.Thing has an attribute 'save' already: choose another with accessor=.",
    ),
    "an accessor that a manager has": (
        {"accessor": "objects"},
        "testapp.Thing has an attribute 'objects' already: choose another with accessor=.",
    ),
    "an accessor that another model's related_name has": (
        {"accessor": "parts"},
        "testapp.Thing has an attribute 'parts' already: choose another with accessor=.",
    ),
}


class TestRefused:
    @pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
    def test_options_that_cant_be_meant_so(self, isolated: Apps, options: dict[str, Any], message: str) -> None:
        owner = models.ForeignKey("self", models.CASCADE, null=True, related_name="things")
        thing = define(**{name: kind() for name, kind in FIELDS.items()}, owner=owner)
        define("Part", thing=models.ForeignKey(thing, models.CASCADE, related_name="parts"))
        before = dict(vars(thing))
        with pytest.raises(RegistrationError) as refused:
            diffs.register(thing, **options)
        assert str(refused.value) == message
        assert find(thing) is None
        assert dict(vars(thing)) == before

    @pytest.mark.parametrize("model", [5, type(None), Author.objects, Author(pk=1)], ids=lambda it: type(it).__name__)
    def test_what_is_no_model(self, model: Any) -> None:
        with pytest.raises(RegistrationError, match=r"^register\(\) takes a model, not "):
            diffs.register(model)

    @pytest.mark.parametrize("label", ["testapp.Nothing", "nowhere.Thing"])
    def test_a_label_of_no_model(self, label: str) -> None:
        with pytest.raises(RegistrationError, match=rf"^There is no model '{label}': "):
            diffs.register(label)

    @pytest.mark.parametrize("label", ["Thing", "", ".", "testapp.", ".Thing", "a.b.c"])
    def test_text_that_is_no_label(self, label: str) -> None:
        with pytest.raises(RegistrationError, match=rf"^{label!r} is no label of a model: write 'app.Model'\.$"):
            diffs.register(label)

    def test_options_are_given_by_name(self) -> None:
        with pytest.raises(TypeError):
            diffs.register(Tag, ["name"])  # type: ignore[call-overload]

    def test_a_model_twice(self) -> None:
        before = require(Question)
        with pytest.raises(RegistrationError, match=r"^testapp.Question is registered already: once, with all options"):
            diffs.register(Question, model_feed=True)
        assert require(Question) is before

    def test_an_abstract_model_twice(self) -> None:
        with pytest.raises(RegistrationError, match=r"^Document is registered already: once, with all options\.$"):
            diffs.register(Document)

    def test_a_proxy(self) -> None:
        with pytest.raises(
            RegistrationError, match=r"^testapp.HotQuestion is a proxy: register testapp.Question, whose changes it"
        ):
            diffs.register(HotQuestion)

    def test_a_swapped_model(self, isolated: Apps, settings: Any) -> None:
        settings.TESTAPP_THING_MODEL = "testapp.Author"
        meta = type("Meta", (), {"app_label": "testapp", "swappable": "TESTAPP_THING_MODEL"})
        thing: Any = type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta})
        with pytest.raises(
            RegistrationError, match=r"^testapp.Thing is swapped for testapp.Author: register that one\.$"
        ):
            diffs.register(thing)

    def test_an_accessor_that_a_column_of_the_same_name_has(self, isolated: Apps) -> None:
        with pytest.raises(RegistrationError, match=r"^testapp.Thing has an attribute 'diffs' already"):
            diffs.register(define(diffs=models.TextField()))

    def test_a_field_that_a_subclass_of_an_abstract_base_left_out(self, isolated: Apps) -> None:
        base = diffs.register(define("Base", is_abstract=True, notes=models.TextField()), exclude=["notes"])
        try:
            with pytest.raises(RegistrationError, match=r"^testapp.Thing has no field 'notes', which exclude= names\."):
                define("Thing", base, notes=None)
        finally:
            registry.unregister(base)

    def test_what_isnt_registered_has_no_registration(self) -> None:
        with pytest.raises(NotRegistered, match=r"^testapp.Tag has no diffs: decorate it with @diffs.register\.$"):
            require(Tag)
        assert find(Tag) is None
        with pytest.raises(RegistrationError, match=r"^testapp.Tag is not registered\.$"):
            registry.unregister(Tag)


class TestInheritance:
    def test_subclasses_of_an_abstract_base_have_its_options(self) -> None:
        for model in (Letter, Invoice):
            assert require(model).options == Options(exclude=("notes",), model_feed=True)
            assert require(model).inherited
        assert find(Document) is None
        assert not hasattr(Document, "diffs")

    def test_classes_that_are_there_already_get_them_too(self, isolated: Apps) -> None:
        base = define("Base", is_abstract=True, name=models.TextField())
        middle = define("Middle", base, is_abstract=True)
        thing, own = define("Thing", middle), define("Own", base)
        child, proxy = define("Child", thing), define("Proxy", thing, is_proxy=True)
        diffs.register(own, model_feed=True)
        diffs.register(base, exclude=["name"])
        later = define("Later", middle)
        for model in (thing, child, later):
            assert require(model).options == Options(exclude=("name",))
        assert require(own).options == Options(model_feed=True)
        assert require(proxy) is require(thing)
        registry.unregister(base)
        assert [find(model) for model in (thing, child, later)] == [None] * 3
        assert find(own) is not None

    @pytest.mark.parametrize("options", [{"narrow": True}, {"full_saves": "all"}], ids=["narrow", "all"])
    def test_how_saves_are_told_is_inherited_too(self, isolated: Apps, options: dict[str, Any]) -> None:
        base = diffs.register(define("Base", is_abstract=True, name=models.TextField()), **options)
        try:
            thing = require(define("Thing", base))
            assert (thing.options, thing.tells_all_written) == (Options(**options), True)
        finally:
            registry.unregister(base)

    def test_the_nearest_abstract_base_counts(self, isolated: Apps) -> None:
        base = diffs.register(define("Base", is_abstract=True, name=models.TextField()), exclude=["name"])
        nearer = diffs.register(define("Nearer", base, is_abstract=True), model_feed=True)
        try:
            assert require(define("Thing", nearer)).options == Options(model_feed=True)
            assert require(define("Other", base)).options == Options(exclude=("name",))
        finally:
            registry.unregister(nearer)
            registry.unregister(base)

    def test_a_models_own_registration_takes_the_place_of_the_inherited_one(self, isolated: Apps) -> None:
        base = diffs.register(define("Base", is_abstract=True, name=models.TextField()), exclude=["name"])
        try:
            thing = diffs.register(define("Thing", base), accessor="changes")
        finally:
            registry.unregister(base)
        assert require(thing).options == Options(accessor="changes")
        assert not require(thing).inherited
        assert isinstance(thing.changes, FeedManager)
        assert not hasattr(thing, "diffs")
        with pytest.raises(RegistrationError, match="is registered already"):
            diffs.register(thing)

    def test_a_proxy_has_its_models_registration(self) -> None:
        assert find(HotQuestion) is find(Question)
        assert find(Dear) is find(Friendly) is find(Contact)

    def test_a_multi_table_child_is_registered_by_itself(self) -> None:
        assert find(Venue) is None
        assert require(Bar).model is Bar
        assert require(Restaurant) is not require(Place)

    def test_a_registered_parents_child_may_have_another_accessor(self, isolated: Apps) -> None:
        parent = diffs.register(define("Base", name=models.TextField()))
        child = diffs.register(define("Child", parent), accessor="changes")
        assert require(child).options.accessor == "changes"
        assert isinstance(child.changes, FeedManager)


class TestLookups:
    def test_a_registration_is_found_by_its_label(self) -> None:
        assert find_label("testapp.question") is require(Question)
        assert find_label("testapp.Question") is None
        assert window_of("testapp.ticker") == require(Ticker).window == 60_000_000
        assert window_of("gone.model") == 3_600_000_000

    def test_a_window_that_isnt_given_is_the_settings(self, settings: Any) -> None:
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_element_age": 10}
        assert require(Question).window == 10_000_000

    def test_feeds_keep_as_many_diffs_as_the_model_says_or_else_the_settings(
        self, settings: Any, isolated: Apps
    ) -> None:
        assert require(Question).feed(1).max_elements == 10_000
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_elements": 10}
        assert require(Question).feed(1).max_elements == 10
        assert require(Airport).model_feed.max_elements == 10
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_elements": None}
        assert require(Question).feed(1).max_elements is None
        own = require(diffs.register(define(), max_elements=3, model_feed=True))
        assert own.feed(1).max_elements == own.model_feed.max_elements == 3

    @pytest.mark.parametrize(
        ("hook", "expected"),
        [
            (lambda self, dirty_fields: None, False),
            (lambda self, dirty_fields, created=False: None, True),
            (lambda self, dirty_fields, *, created: None, True),
            (lambda self, dirty_fields, **options: None, True),
            (lambda *args: None, False),
        ],
    )
    def test_a_hook_says_whether_it_takes_created(self, hook: Any, expected: bool) -> None:
        assert takes_created(hook) is expected


class TestUndone:
    def test_unregistering_leaves_the_class_as_it_was(self, isolated: Apps) -> None:
        def own(self: Any, *args: Any, **kwargs: Any) -> None:
            return models.Model.refresh_from_db(self, *args, **kwargs)

        thing = define(name=models.TextField(), tags=models.ManyToManyField(Tag), refresh_from_db=own)
        define("Proxy", thing, is_proxy=True)
        classes = [thing, thing.tags.through]
        before = [list(vars(each).items()) for each in classes]
        receivers = [[*signal.receivers] for signal in SIGNALS]
        diffs.register(thing, model_feed=True)
        assert [list(vars(each).items()) for each in classes] != before
        registry.unregister(thing)
        assert [list(vars(each).items()) for each in classes] == before
        assert [[*signal.receivers] for signal in SIGNALS] == receivers
        assert find(thing) is None
        assert find_label("testapp.thing") is None

    def test_without_registered_models_django_is_as_it_was(self) -> None:
        def home(owner: Any, name: str) -> str:
            function = getattr(owner, name)
            return getattr(function, "__func__", function).__globals__["__name__"].partition(".")[0]

        assert {home(owner, name) for owner, name in PATCHED} == {"diffs"}
        with nothing_registered():
            assert {home(owner, name) for owner, name in PATCHED} == {"django"}
            for model in apps.get_models(include_auto_created=True):
                assert not hasattr(model, "diffs") or model is Patch
                assert "diffs" not in {home(model, name) for name in ("_save_table", "from_db", "refresh_from_db")}
            for signal in SIGNALS:
                assert not [receiver for receiver in signal.receivers if receiver[0][0] == "diffs"]
        assert {home(owner, name) for owner, name in PATCHED} == {"diffs"}

    def test_saves_are_django_s_again_when_the_last_model_that_narrows_them_is_gone(self) -> None:
        with nothing_registered():
            before = models.Model.save, models.Model._do_update  # type: ignore[attr-defined]
            with registered(Author, narrow=True), registered(Tag):
                with registered(Question, narrow=True):
                    assert models.Model.save is not before[0]
                assert models.Model.save is not before[0]
            with registered(Tag):
                assert (models.Model.save, models.Model._do_update) == before  # type: ignore[attr-defined]

    def test_a_child_stays_hooked_when_its_parent_no_longer_is(self, recording: Recording) -> None:
        registration = require(Place)
        registry.unregister(Place)
        try:
            restaurant = Restaurant.objects.create(name="a")
            restaurant.name = "b"
            restaurant.save()
            assert [
                (action, data) for action, _, _, data in recording.feeds()[f"testapp.restaurant:{restaurant.pk}"]
            ] == [
                ("create", {"name": "a", "address": "", "stars": 0}),
                ("update", {"name": "b"}),
            ]
        finally:
            registry.enter(registration)

    def test_a_method_that_looks_like_a_hook_of_ours_is_kept(self, isolated: Apps) -> None:
        """A project's method may carry along what it found on the method that it wraps."""
        parent = diffs.register(define("Base", name=models.TextField()))
        called = []

        @functools.wraps(parent.refresh_from_db)
        def refresh_from_db(self: Any, *args: Any, **options: Any) -> None:
            called.append(self)

        child = diffs.register(define("Child", parent, refresh_from_db=refresh_from_db))
        child(pk=1).refresh_from_db()
        assert len(called) == 1

    def test_registering_again_behind_unregister_records_again(self, recording: Recording) -> None:
        registration = require(Author)
        registry.unregister(Author)
        Author.objects.create(name="a")
        assert recording.feeds() == {}
        diffs.register(Author)
        author = Author.objects.create(name="b")
        assert list(recording.feeds()) == [f"testapp.author:{author.pk}"]
        registry.unregister(Author)
        registry.enter(registration)


class TestMigrations:
    def test_models_of_migrations_are_not_hooked(self, recording: Recording) -> None:
        state = ProjectState.from_apps(apps).apps
        question_model, tag_model = state.get_model("testapp", "Question"), state.get_model("testapp", "Tag")
        restaurant_model = state.get_model("testapp", "Restaurant")
        for model in (question_model, restaurant_model):
            assert find(model) is None
            assert not hasattr(model, "diffs")
            assert model._save_table.__code__ is models.Model._save_table.__code__
        question = question_model.objects.create(text="Why?")
        question.votes = 1
        question.save()
        question_model.objects.update(votes=2)
        question_model.objects.bulk_create([question_model(text="Who?")])
        question.tags.add(tag_model.objects.create(name="a"))
        restaurant_model.objects.create(name="a")
        question_model.objects.all().delete()
        assert (recording.feeds(), recording.floors()) == ({}, set())

    def test_makemigrations_sees_nothing_of_it(self, tmp_path: Path) -> None:
        (tmp_path / "shop" / "migrations").mkdir(parents=True)
        for package in ("shop", "shop/migrations"):
            (tmp_path / package / "__init__.py").touch()
        (tmp_path / "shop" / "models.py").write_text(MODELS)
        (tmp_path / "project.py").write_text(PROJECT)

        def manage(*arguments: str, registered: bool) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "django", *arguments],
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "project",
                    "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
                    "REGISTERED": "1" * registered,
                },
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "Create model Item" in manage("makemigrations", registered=False)
        assert manage("makemigrations", "--check", "--dry-run", registered=True) == "No changes detected\n"
        told = manage(
            "shell", "-v", "0", "-c", "from shop.models import *; print(diffs.registration.find(Item))", registered=True
        )
        assert told == "<Registration: shop.item>\n"


PROJECT = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "diffs", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "shop.User"
"""

MODELS = """
import os

from django.contrib.auth.models import AbstractUser
from django.db import models

import diffs
import diffs.registration

REGISTERED = bool(os.environ["REGISTERED"])


def register(**options):
    return diffs.register(**options) if REGISTERED else lambda model: model


if REGISTERED:
    diffs.register("shop.Item", parent="category")
    diffs.register("shop.User", exclude=["password"])


class User(AbstractUser):
    pass


@register(model_feed=True)
class Named(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        abstract = True


class Manager(models.Manager):
    use_in_migrations = True


class Category(Named):
    objects = Manager()


class Tag(Named):
    pass


class Item(models.Model):
    category = models.ForeignKey(Category, models.CASCADE)
    tags = models.ManyToManyField(Tag)


@register()
class Book(Item):
    pages = models.IntegerField()


class Cheap(Item):
    class Meta:
        proxy = True
"""


@pytest.mark.parametrize("model", [Choice, Note, Snapshot], ids=lambda model: model.__name__)
def test_registration_changes_no_bases_and_no_managers(model: Any) -> None:
    found = [model.__mro__, model._meta.managers, model._base_manager.__class__, model._default_manager.__class__]
    registration = require(model)
    registry.unregister(model)
    try:
        assert found == [
            model.__mro__,
            model._meta.managers,
            model._base_manager.__class__,
            model._default_manager.__class__,
        ]
    finally:
        registry.enter(registration)


def test_a_registration_knows_what_its_model_shows() -> None:
    registration = Registration(Question, Options(fields=("votes", "text", "tags")))
    assert [field.name for field in registration.fields] == ["text", "votes"]
    assert [field.name for field in registration.many_to_many] == ["tags"]
