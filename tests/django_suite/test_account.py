"""The judgement over Django's own tests: what counts as a failure of django-diffs, and what the account allows."""

from pathlib import Path

import pytest
from suite.account import Account, AccountError, Complaint, Divergence, Failure, Run, Unsteady, judge, load

HERE = Path(__file__).resolve().parent
TEST = "app.T.t"
PASSED = {"outcome": "passed"}
SKIPPED = {"outcome": "skipped"}
FAILED = {"outcome": "failed", "message": "AssertionError: 3 queries", "traceback": "Traceback of it"}
COUNTS = Account(
    failures={TEST: Failure(test=TEST, reason="counts queries", message="AssertionError: * queries", why="w")}
)
DIVERGES = Account(divergences={TEST: Divergence(test=TEST, models=("app.a", "app.b"), why="w")})
COMPLAINS = Account(complaints={TEST: Complaint(test=TEST, message="No.", why="w")})
UNSTEADY = Account(unsteady={TEST: Unsteady(test=TEST, why="w")})
NOTHING = Account()
RUN = {"django": "5.2", "database": "sqlite", "labels": ["app"]}


@pytest.mark.parametrize(
    ("plain", "registered", "account", "passed", "failed", "unjudged"),
    [
        pytest.param(PASSED, PASSED, NOTHING, [TEST], None, [], id="passes in both"),
        pytest.param(PASSED, FAILED, NOTHING, [], "Traceback of it", [], id="breaks"),
        pytest.param(PASSED, FAILED, COUNTS, [TEST], None, [], id="breaks as accounted"),
        pytest.param(
            PASSED,
            {**FAILED, "message": "TypeError: no"},
            COUNTS,
            [],
            "fails with 'TypeError: no', accounted as 'AssertionError: * queries'\nTraceback of it",
            [],
            id="breaks in another way than accounted",
        ),
        pytest.param(
            PASSED,
            PASSED,
            COUNTS,
            [],
            "stale account: passed, accounted as 'AssertionError: * queries'",
            [],
            id="accounted but passes",
        ),
        pytest.param(
            SKIPPED,
            SKIPPED,
            COUNTS,
            [],
            "stale account: skipped, accounted as 'AssertionError: * queries'",
            [],
            id="accounted but skipped",
        ),
        pytest.param(
            None,
            None,
            COUNTS,
            [],
            "stale account: missing, accounted as 'AssertionError: * queries'",
            [],
            id="accounted but gone",
        ),
        pytest.param(
            None,
            None,
            DIVERGES,
            [],
            "diffs and tables differ in [], accounted are ['app.a', 'app.b']",
            [],
            id="divergence of no test",
        ),
        pytest.param(FAILED, FAILED, NOTHING, [], None, [TEST], id="fails in both"),
        pytest.param(PASSED, FAILED, UNSTEADY, [], None, [TEST], id="is unsteady"),
        pytest.param(SKIPPED, SKIPPED, NOTHING, [], None, [], id="is skipped in both"),
        pytest.param(PASSED, SKIPPED, NOTHING, [], "passed without registration, skipped with it", [], id="is skipped"),
        pytest.param(PASSED, None, NOTHING, [], "passed without registration, missing with it", [], id="is lost"),
        pytest.param(None, FAILED, NOTHING, [], "Traceback of it", [], id="its class can't be set up"),
    ],
)
def test_two_runs_are_judged_by_the_account(plain, registered, account, passed, failed, unjudged):
    judgement = judge(
        Run(outcomes={TEST: plain} if plain else {}), Run(outcomes={TEST: registered} if registered else {}), account
    )

    assert judgement.passed == passed
    assert judgement.failed == ({TEST: failed} if failed else {})
    assert judgement.unjudged == unjudged


@pytest.mark.parametrize(
    ("found", "account", "failed"),
    [
        pytest.param({}, NOTHING, None, id="nothing diverges"),
        pytest.param({"app.b": "B", "app.a": "A"}, DIVERGES, None, id="diverges as accounted"),
        pytest.param(
            {"app.a": "A"},
            NOTHING,
            "diffs and tables differ in ['app.a'], accounted are []\nA",
            id="diverges unaccounted",
        ),
        pytest.param(
            {"app.a": "A"},
            DIVERGES,
            "diffs and tables differ in ['app.a'], accounted are ['app.a', 'app.b']\nA",
            id="diverges less than accounted",
        ),
        pytest.param(
            {},
            DIVERGES,
            "diffs and tables differ in [], accounted are ['app.a', 'app.b']",
            id="accounted but converges",
        ),
    ],
)
def test_a_test_whose_diffs_contradict_the_tables_fails_unless_accounted(found, account, failed):
    outcomes = {TEST: PASSED}

    judgement = judge(Run(outcomes=outcomes), Run(outcomes=outcomes, divergences={TEST: found}), account)

    assert judgement.failed == ({TEST: failed} if failed else {})
    assert judgement.passed == ([] if failed else [TEST])


@pytest.mark.parametrize(
    ("logged", "account", "failed"),
    [
        pytest.param({}, NOTHING, {}, id="silent"),
        pytest.param({TEST: ["No.", "No."]}, COMPLAINS, {}, id="complains as accounted"),
        pytest.param({TEST: ["No."]}, NOTHING, {TEST: "logged are ['No.'], accounted are []"}, id="complains"),
        pytest.param({}, COMPLAINS, {TEST: "logged are [], accounted are ['No.']"}, id="accounted but silent"),
        pytest.param(
            {"between tests": ["No."]},
            NOTHING,
            {"between tests": "logged are ['No.'], accounted are []"},
            id="complains outside of tests",
        ),
    ],
)
def test_what_is_logged_fails_unless_accounted(logged, account, failed):
    outcomes = {TEST: PASSED}

    judgement = judge(Run(outcomes=outcomes), Run(outcomes=outcomes, logs=logged), account)

    assert judgement.failed == failed


def write(folder, text):
    path = folder / "expected.toml"
    path.write_text(text)
    return path


def test_an_entry_applies_to_the_versions_databases_and_labels_it_is_for(tmp_path):
    path = write(
        tmp_path,
        '[[divergence]]\ntest = "app.T.t"\nmodels = ["app.a", "app.b"]\nwhy = "w"\n'
        'django = ["5.2"]\ndatabase = ["sqlite"]\n',
    )
    narrow = Divergence(test=TEST, models=("app.a", "app.b"), why="w", django=("5.2",), database=("sqlite",))

    assert load(path, **RUN) == Account(divergences={TEST: narrow})
    assert load(path, **{**RUN, "labels": ["other", "app.T"]}) == Account(divergences={TEST: narrow})
    assert load(path, **{**RUN, "labels": ["ap", "app.T.tt"]}) == NOTHING
    assert load(path, **{**RUN, "django": "6.1"}) == NOTHING
    assert load(path, **{**RUN, "database": "postgresql"}) == NOTHING


FAILURE = '[[failure]]\ntest = "app.T.t"\nreason = "counts queries"\nmessage = "m"\nwhy = "w"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FAILURE.replace("counts queries", "flaky"), r"app\.T\.t: 'flaky' is no reason; the only ones are"),
        (FAILURE.replace('why = "w"', ""), r"app\.T\.t: missing keys \['why'\]"),
        (FAILURE.replace("reason", "raeson"), r"app\.T\.t: unknown keys \['raeson'\]"),
        (FAILURE + FAILURE, r"app\.T\.t: two entries apply"),
        (FAILURE.replace("failure", "falure"), r"unknown tables \['falure'\]"),
    ],
)
def test_a_wrong_entry_is_an_error_that_names_it(tmp_path, text, message):
    with pytest.raises(AccountError, match=message):
        load(write(tmp_path, text), **RUN)


@pytest.mark.parametrize("django", ["5.2", "6.0", "6.1"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_account_of_this_project_can_be_read(django, database):
    account = load(HERE / "expected.toml", django=django, database=database, labels=["delete"])

    assert "delete.tests.FastDeleteTests.test_fast_delete_fk" in account.failures
