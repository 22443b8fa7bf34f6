"""The judgement over Django's own tests: what counts as a failure of django-diffs, and what the account allows."""

from pathlib import Path

import pytest
from suite import account

HERE = Path(__file__).resolve().parent
PASSED = {"outcome": "passed"}
SKIPPED = {"outcome": "skipped"}
FAILED = {"outcome": "failed", "message": "AssertionError: 3 queries", "traceback": "Traceback of it"}
ENTRY = account.Entry(test="app.T.t", reason="counts queries", message="AssertionError: 3 queries", why="reads back")


def write(folder, text):
    path = folder / "expected.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("plain", "registered", "accounted", "passed", "failed", "unjudged"),
    [
        pytest.param(PASSED, PASSED, False, ["app.T.t"], {}, [], id="passes in both"),
        pytest.param(PASSED, FAILED, False, [], {"app.T.t": "Traceback of it"}, [], id="breaks"),
        pytest.param(PASSED, FAILED, True, ["app.T.t"], {}, [], id="breaks as accounted"),
        pytest.param(
            PASSED,
            {**FAILED, "message": "TypeError: no"},
            True,
            [],
            {"app.T.t": "fails with 'TypeError: no', accounted as 'AssertionError: 3 queries'"},
            [],
            id="breaks in another way than accounted",
        ),
        pytest.param(
            PASSED,
            PASSED,
            True,
            [],
            {"app.T.t": "stale account: passed, accounted as 'AssertionError: 3 queries'"},
            [],
            id="accounted but passes",
        ),
        pytest.param(None, None, True, [], {"app.T.t": "stale account: there is no such test"}, [], id="is gone"),
        pytest.param(FAILED, FAILED, False, [], {}, ["app.T.t"], id="fails in both"),
        pytest.param(SKIPPED, SKIPPED, False, [], {}, [], id="is skipped in both"),
        pytest.param(
            PASSED,
            SKIPPED,
            False,
            [],
            {"app.T.t": "passed without registration, skipped with it"},
            [],
            id="is skipped only when registered",
        ),
        pytest.param(
            PASSED,
            None,
            False,
            [],
            {"app.T.t": "passed without registration, missing with it"},
            [],
            id="is lost when registered",
        ),
        pytest.param(None, FAILED, False, [], {"app.T.t": "Traceback of it"}, [], id="its class can't be set up"),
    ],
)
def test_two_runs_are_judged_by_the_account(plain, registered, accounted, passed, failed, unjudged):
    judgement = account.judge(
        {"app.T.t": plain} if plain else {},
        {"app.T.t": registered} if registered else {},
        {"app.T.t": ENTRY} if accounted else {},
    )

    assert (judgement.passed, judgement.failed, judgement.unjudged) == (passed, failed, unjudged)


def test_an_entry_applies_to_the_versions_databases_and_labels_it_is_for():
    narrow = account.Entry(
        test="app.T.t", reason="counts queries", message="m", why="w", django=("5.2",), database=("sqlite",)
    )

    def found(**run):
        return account.applying([narrow], **{"django": "5.2", "database": "sqlite", "labels": ["app"], **run})

    assert found() == {"app.T.t": narrow}
    assert found(labels=["other", "app.T"]) == {"app.T.t": narrow}
    assert found(labels=["ap", "app.T.tt"]) == {}
    assert found(django="6.1") == {}
    assert found(database="postgresql") == {}


def test_two_entries_that_apply_to_one_test_are_an_error():
    with pytest.raises(account.AccountError, match=r"^app\.T\.t: two entries apply$"):
        account.applying([ENTRY, ENTRY], django="5.2", database="sqlite", labels=["app"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('test = "t"\nreason = "flaky"\nmessage = "m"\nwhy = "w"', "t: 'flaky' is no reason; the only ones are"),
        ('test = "t"\nreason = "counts queries"', r"t: missing keys \['message', 'why'\]"),
        ('test = "t"\nraeson = "counts queries"', r"t: unknown keys \['raeson'\]"),
    ],
)
def test_a_wrong_entry_is_an_error_that_names_it(tmp_path, entry, message):
    with pytest.raises(account.AccountError, match=message):
        account.load(write(tmp_path, f"[[failure]]\n{entry}\n"))


def test_the_account_of_this_project_can_be_read():
    entries = account.load(HERE / "expected.toml")

    assert {entry.reason for entry in entries} <= set(account.REASONS)
    assert [entry.test for entry in entries] == sorted(entry.test for entry in entries)
