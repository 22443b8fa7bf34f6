"""`diffs.testing`: what it gives to the tests of projects."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import models, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

import diffs
from diffs import Diff
from diffs.conf import settings as diffs_settings
from diffs.errors import NotRegistered, RegistrationError
from diffs.pytest_plugin import diffs_store  # noqa: F401
from diffs.registration import Options, find, require
from diffs.store import Store, get_store
from diffs.testing import DiffsTestMixin, assertDiffs, captured_diffs, fresh_store, registered

from .servers import RedisServer
from .testapp.models import Airport, Archive, Choice, Contact, HotQuestion, Letter, Person, Playlist, Question, Song

VOTES = [("update", {"votes": 1})]


def without_time(made: list[Diff]) -> list[tuple[str, str, Any, dict[str, Any]]]:
    return [(diff.model, diff.action, diff.pk, dict(diff.data)) for diff in made]


@pytest.fixture(params=[False, True], ids=["server", "fake"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Feeds of the test's own, on the server and on the fake."""
    with fresh_store(fake=request.param) as fresh:
        yield fresh


# registered()


@pytest.mark.django_db(transaction=True)
def test_model_is_registered_in_the_block_alone() -> None:
    before = dict(vars(Person))
    with registered(Person) as model:
        assert model is Person
        person = Person.objects.create(name="Ada")
        assertDiffs(person, [("create", {"name": "Ada"})])
    assert find(Person) is None
    assert dict(vars(Person)) == before
    with pytest.raises(NotRegistered):
        diffs.feed_of(person)


def test_registered_takes_the_options_of_register_and_a_label() -> None:
    with registered("testapp.person", exclude=["name"], model_feed=True, accessor="changes") as model:
        assert model is Person
        assert require(Person).options == Options(exclude=("name",), model_feed=True, accessor="changes")
        assert repr(Person.changes) == "<FeedManager: testapp.person>"
    assert not hasattr(Person, "changes")


def test_registered_model_gets_other_options_for_a_while() -> None:
    before = require(Question)
    with registered(Question, model_feed=True) as model:
        assert model is Question
        assert require(Question).options == Options(model_feed=True)
    assert require(Question) is before
    assert vars(Question)["diffs"].registration is before


def test_what_a_base_has_handed_on_comes_back_too() -> None:
    before = require(Letter)
    assert before.inherited
    with registered(Letter, fields=["title"]):
        assert not require(Letter).inherited
    assert require(Letter) is before


@pytest.mark.parametrize("model", [HotQuestion, Question], ids=["proxy", "model"])
def test_wrong_options_leave_everything_as_it_was(model: type[models.Model]) -> None:
    before = require(Question)
    with pytest.raises(RegistrationError):
        registered(model, exclude=["no such field"]).enable()
    assert require(Question) is before


def test_wrong_options_of_a_new_model_leave_it_unregistered() -> None:
    with pytest.raises(RegistrationError):
        registered(Person, fields=["no such field"]).enable()
    assert find(Person) is None


def test_abstract_model_can_t_be_registered_for_a_while() -> None:
    base = Letter.__mro__[1]
    with pytest.raises(RegistrationError, match="name a concrete model"):
        registered(base).enable()


def test_error_in_the_block_takes_the_registration_back() -> None:
    with pytest.raises(LookupError), registered(Person):
        raise LookupError
    assert find(Person) is None


def test_registered_blocks_can_be_nested() -> None:
    def has_model_feed() -> bool:
        return require(Person).options.model_feed

    with registered(Person):
        with registered(Person, model_feed=True):
            assert has_model_feed()
        assert not has_model_feed()
    assert find(Person) is None


@registered(Person, model_feed=True)
def test_registered_is_a_decorator_of_functions() -> None:
    assert require(Person).options.model_feed


@registered(Person)
class TestRegisteredDecoratesClasses(SimpleTestCase):
    def test_model_is_registered_in_each_test(self) -> None:
        self.assertIsNotNone(find(Person))


def test_decorated_function_leaves_nothing_behind() -> None:
    assert find(Person) is None
    test_registered_is_a_decorator_of_functions()
    assert find(Person) is None


# fresh_store()


@pytest.mark.django_db(transaction=True)
def test_fresh_feeds_are_empty_and_leave_no_key(redis_server: RedisServer) -> None:
    question = Question.objects.create(text="before")
    before = sorted(redis_server.cli("KEYS", "*"))
    with fresh_store() as store:
        assert get_store() is store
        assert list(question.diffs) == []
        question.votes = 1
        question.save(update_fields=["votes"])
        assertDiffs(question, VOTES)
        inside = sorted(redis_server.cli("KEYS", "*"))
        assert set(before) < set(inside)
    assert sorted(redis_server.cli("KEYS", "*")) == before
    assert [diff.action for diff in question.diffs] == ["create"]


def test_fresh_feeds_of_several_processes_do_not_meet() -> None:
    prefixes = []
    for _ in range(2):
        with fresh_store():
            prefixes.append(diffs_settings.prefix)
    assert len(set(prefixes)) == 2
    assert all(prefix.startswith("diffs-test-") for prefix in prefixes)


@override_settings(DIFFS_SETTINGS={"redis": {"host": "nowhere.invalid"}, "page_size": 7})
def test_fake_store_needs_no_server() -> None:
    with fresh_store(fake=True) as store:
        assert diffs_settings.test_mode
        assert diffs_settings.page_size == 7
        assert store.client.ping()
    assert not diffs_settings.test_mode


@override_settings(DIFFS_SETTINGS={"test_mode": True})
def test_settings_that_ask_for_the_fake_keep_it() -> None:
    with fresh_store() as store:
        assert type(store.client).__module__.startswith("fakeredis")


def test_server_that_goes_away_is_no_error_of_the_test(server: RedisServer) -> None:
    with fresh_store():
        server.kill()


def test_fixture_is_an_empty_fake_store(diffs_store: Store) -> None:  # noqa: F811
    assert get_store() is diffs_store
    assert type(diffs_store.client).__module__.startswith("fakeredis")
    assert diffs_store.client.dbsize() == 0


# captured_diffs()


@pytest.mark.django_db
def test_changes_in_a_test_s_transaction_are_captured(store: Store) -> None:
    with captured_diffs() as made:
        contact = Contact.objects.create(name="Ada")
        contact.name = "Grace"
        contact.save()
        assert made == []
    assert without_time(made) == [
        ("testapp.contact", "create", contact.pk, {"name": "Ada", "email": ""}),
        ("testapp.contact", "update", contact.pk, {"name": "Grace"}),
    ]
    assert made == list(contact.diffs)


@pytest.mark.django_db(transaction=True)
def test_committed_changes_are_captured_as_they_happen(store: Store) -> None:
    with captured_diffs() as made:
        contact = Contact.objects.create(name="Ada")
        assert [diff.action for diff in made] == ["create"]
        with transaction.atomic():
            contact.delete()
            assert len(made) == 1
        assert [diff.action for diff in made] == ["create", "delete"]
    Contact.objects.create(name="Grace")
    assert len(made) == 2


@pytest.mark.django_db
def test_change_that_goes_to_several_feeds_is_captured_once_as_its_object_s(store: Store) -> None:
    question = Question.objects.create(text="?")
    with captured_diffs() as made:
        choice = Choice.objects.create(question=question, text="!")
    assert made == list(choice.diffs)
    (in_parent,) = question.diffs
    assert in_parent == dataclasses.replace(made[0], cursor=in_parent.cursor, position=in_parent.position)


@pytest.mark.django_db
def test_captured_diffs_stand_in_the_order_of_the_changes(store: Store) -> None:
    with captured_diffs() as made:
        for number in range(30):
            Contact.objects.create(name=str(number))
    assert [diff.data["name"] for diff in made] == [str(number) for number in range(30)]


@pytest.mark.django_db
def test_what_a_savepoint_rolled_back_is_not_captured(store: Store) -> None:
    with captured_diffs() as made:
        kept = Contact.objects.create(name="kept")
        with pytest.raises(LookupError), transaction.atomic():
            Contact.objects.create(name="lost")
            raise LookupError
    assert [diff.pk for diff in made] == [kept.pk]


@pytest.mark.django_db
def test_functions_that_wait_for_the_commit_are_called_and_their_changes_captured(store: Store) -> None:
    calls = []

    def later() -> None:
        calls.append("later")
        Contact.objects.create(name="second")

    with captured_diffs() as made:
        transaction.on_commit(later)
        Contact.objects.create(name="first")
    assert calls == ["later"]
    assert {diff.data["name"] for diff in made} == {"first", "second"}


@pytest.mark.django_db
def test_earlier_changes_of_the_transaction_stay_where_they_are(store: Store) -> None:
    Contact.objects.create(name="earlier")
    with captured_diffs() as made:
        Contact.objects.create(name="captured")
    assert [diff.data["name"] for diff in made] == ["captured"]


@pytest.mark.django_db(databases=["default", "other"])
def test_changes_of_every_database_are_captured(store: Store) -> None:
    with captured_diffs() as made:
        Archive.objects.create(title="here")
        Archive.objects.using("other").create(title="there")
    assert {diff.data["title"] for diff in made} == {"here", "there"}


@pytest.mark.django_db
def test_blocks_of_captured_diffs_can_be_nested(store: Store) -> None:
    with captured_diffs() as outer:
        Contact.objects.create(name="first")
        with captured_diffs() as inner:
            Contact.objects.create(name="second")
        Contact.objects.create(name="third")
    assert [diff.data["name"] for diff in inner] == ["second"]
    assert sorted(diff.data["name"] for diff in outer) == ["first", "second", "third"]


@pytest.mark.django_db
def test_nothing_is_captured_where_nothing_is_recorded(store: Store) -> None:
    contact = Contact.objects.create(name="Ada")
    with captured_diffs() as made:
        contact.save()
        with diffs.disabled():
            Contact.objects.create(name="Grace")
    assert made == []


@pytest.mark.django_db(transaction=True)
def test_feed_cleared_in_the_block_takes_nothing_from_the_list(store: Store) -> None:
    with captured_diffs() as made:
        contact = Contact.objects.create(name="Ada")
        contact.diffs.clear()
    assert [diff.action for diff in made] == ["create"]


@pytest.mark.django_db(transaction=True)
def test_what_redis_did_not_take_is_not_captured(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    server.kill()
    with captured_diffs() as made:
        Contact.objects.create(name="Ada")
    assert made == []
    assert len(caplog.records) == 1


@pytest.mark.django_db
def test_error_in_the_block_goes_on_and_nobody_listens_any_more(store: Store) -> None:
    original = Store.append
    with pytest.raises(LookupError), captured_diffs():
        raise LookupError
    assert Store.append is original


class TestAsynchronousTests(TestCase):
    async def test_changes_are_captured(self) -> None:
        async with captured_diffs() as made:
            contact = await Contact.objects.acreate(name="Ada")
        self.assertEqual([(diff.action, diff.pk) for diff in made], [("create", contact.pk)])


@pytest.mark.django_db(transaction=True)
def test_asynchronous_block_ends_with_an_error_too() -> None:
    async def fail() -> None:
        async with captured_diffs():
            raise LookupError

    original = Store.append
    with pytest.raises(LookupError):
        async_to_sync(fail)()
    assert Store.append is original


# assertDiffs()


@pytest.fixture
def question(db: None, store: Store) -> Question:
    """A question with three diffs: made, a vote, a choice."""
    with captured_diffs():
        question = Question.objects.create(text="?")
        Question.objects.filter(pk=question.pk).update(votes=1)
        Choice.objects.create(question=question, text="!")
    return question


def created(question: Question) -> dict[str, Any]:
    return dict(question.diffs[0].data)


def test_pairs_and_dicts_of_attributes_are_compared(question: Question) -> None:
    choice = question.choices.get()
    assertDiffs(
        question,
        [
            ("create", created(question)),
            {"action": "update", "created": False, "data": {"votes": 1}, "actor": None},
            {"model": "testapp.choice", "pk": choice.pk},
        ],
    )


@pytest.mark.parametrize(
    "subject",
    [
        lambda question: question.diffs.latest(2),
        lambda question: question.diffs[1:],
        lambda question: iter(list(question.diffs)[1:]),
        lambda question: question.diffs.since(question.diffs[0].cursor),
    ],
)
def test_feeds_and_lists_can_be_compared(question: Question, subject: Callable[[Question], Any]) -> None:
    assertDiffs(subject(question), [*VOTES, {"created": True}])


@pytest.mark.django_db
def test_models_and_their_managers_can_be_compared(store: Store) -> None:
    with captured_diffs():
        Airport.objects.create(code="JFK", city="New York")
    assertDiffs(Airport, [{"model": "testapp.airport", "action": "create"}])
    assertDiffs(Airport.diffs, [{"model": "testapp.airport", "action": "create"}])


def failure(*arguments: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        assertDiffs(*arguments)
    return str(caught.value)


def test_failure_shows_what_was_expected_and_what_was_found(question: Question) -> None:
    message = failure(
        question,
        [
            {"action": "create", "pk": question.pk},
            ("update", {"votes": 2}),
            {"actor": "ada"},
            ("delete", {}),
        ],
    )
    assert message == dedent(
        f"""\
        <Feed: testapp.question:{question.pk}>: expected 4, found 3.
            1. create pk={question.pk}
          - 2. update {{'votes': 2}}
          + 2. update {{'votes': 1}}
          - 3. actor='ada'
          + 3. actor=None
          - 4. delete {{}}"""
    )


def test_failure_shows_what_was_not_expected(question: Question) -> None:
    assert failure(question.diffs[1:], VOTES, "After the vote").splitlines()[:3] == [
        "After the vote",
        "The diffs: expected 1, found 2.",
        "    1. update {'votes': 1}",
    ]
    assert failure(question.diffs[1:2], []) == "The diffs: expected 0, found 1.\n  + 1. update {'votes': 1}"


def test_order_matters(question: Question) -> None:
    with pytest.raises(AssertionError):
        assertDiffs(question.diffs[:2], [*VOTES, ("create", created(question))])


def test_attribute_that_no_diff_has_is_an_error_of_the_test(question: Question) -> None:
    with pytest.raises(ValueError, match="A Diff has no attribute 'acton'. Did you mean 'action'?"):
        assertDiffs(question, [{"acton": "create"}])


def test_failure_tells_of_changes_that_wait_for_the_commit(question: Question) -> None:
    question.votes = 7
    question.save()
    assert failure(question.diffs[1:2], []).splitlines()[-1] == (
        "Changes that wait for a commit, and so are not among them: 1. Make them in `with captured_diffs():`."
    )


# DiffsTestMixin


class TestMixinWithTestCase(DiffsTestMixin, TestCase):
    playlist: Playlist

    @classmethod
    def setUpTestData(cls) -> None:
        cls.playlist = Playlist.objects.create(name="Data")

    def change(self) -> None:
        self.assertDiffs(self.playlist, [])
        with self.captured_diffs() as made:
            self.playlist.name = "Changed"
            self.playlist.save()
            song = Song.objects.create(playlist=self.playlist, title="Song")
        self.assertDiffs(made, [("update", {"name": "Changed"}), {"model": "testapp.song", "pk": song.pk}])
        self.assertDiffs(self.playlist, [{"data": {"name": "Changed"}}, {"created": True}])

    def test_feeds_are_empty_at_first(self) -> None:
        self.change()

    def test_and_so_they_are_for_the_next_test(self) -> None:
        self.change()

    def test_failure_is_one_of_the_test(self) -> None:
        with self.assertRaisesRegex(self.failureException, "My words\n<Feed: testapp.playlist:.*expected 1, found 0"):
            self.assertDiffs(self.playlist, [("update", {})], "My words")


class TestMixinWithTransactionTestCase(DiffsTestMixin, TransactionTestCase):
    def change(self) -> None:
        contact = Contact.objects.create(name="Ada")
        contact.delete()
        self.assertDiffs(contact.__class__.diffs.for_object(1), [{"created": True}, ("delete", {})])

    reset_sequences = True

    def test_commits_are_real(self) -> None:
        self.change()

    def test_the_same_key_has_an_empty_feed_in_the_next_test(self) -> None:
        self.change()


@override_settings(DIFFS_SETTINGS={"test_mode": True})
class TestMixinWithTheFake(DiffsTestMixin, TestCase):
    def test_changes_are_captured(self) -> None:
        with self.captured_diffs() as made:
            Contact.objects.create(name="Ada")
        self.assertDiffs(made, [{"action": "create", "model": "testapp.contact"}])


class TestMixinWithoutDjango(DiffsTestMixin, unittest.TestCase):
    def test_feeds_are_empty(self) -> None:
        self.assertEqual(len(diffs.feed_of(Contact(pk=1))), 0)


def test_mixin_puts_the_settings_back() -> None:
    before = get_store()
    result = unittest.TestResult()
    TestMixinWithoutDjango("test_feeds_are_empty").run(result)
    assert (result.testsRun, result.wasSuccessful()) == (1, True)
    assert diffs_settings.prefix == "diffs"
    assert get_store() is not before


# As a project uses it


CONFTEST = """\
    import django
    from django.conf import settings

    pytest_plugins = ["diffs.pytest_plugin"]

    def pytest_configure():
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "diffs"],
            DIFFS_SETTINGS={"redis": {"host": "nowhere.invalid"}},
            MIGRATION_MODULES={"auth": None, "contenttypes": None},
        )
        django.setup()
"""
PROJECT_TESTS = """\
    import pytest
    from django.contrib.auth.models import Group

    from diffs.testing import assertDiffs, captured_diffs, registered

    @registered(Group, exclude=["permissions"])
    @pytest.mark.django_db
    @pytest.mark.parametrize("number", range(3))
    def test_group(diffs_store, number):
        with captured_diffs() as made:
            group = Group.objects.create(name="readers")
        assertDiffs(group, [("create", {"name": "readers"})])
        assert list(made) == list(group.diffs)
"""


@pytest.mark.slow
def test_fixture_serves_a_project_in_several_processes(tmp_path: Path, process_env: dict[str, str]) -> None:
    (tmp_path / "conftest.py").write_text(dedent(CONFTEST))
    (tmp_path / "test_project.py").write_text(dedent(PROJECT_TESTS))
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    del process_env["DJANGO_SETTINGS_MODULE"]
    command = [sys.executable, "-m", "pytest", "-n", "2", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=process_env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_helpers_need_no_pytest() -> None:
    program = """
        import sys
        sys.modules["pytest"] = sys.modules["fakeredis"] = None
        from django.conf import settings
        import diffs.testing
        print(*sorted(diffs.testing.__all__), settings.configured)
    """
    done = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "DiffsTestMixin", "assertDiffs", "captured_diffs", "fresh_store", "registered", "False",
    ]  # fmt: skip
