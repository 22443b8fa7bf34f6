"""What the command takes, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from diffs.cursor import Cursor
from diffs.diff import Diff
from diffs.errors import StoreUnavailable
from diffs.keys import SHARDS, FeedName
from diffs.management.verify import Clock, Verification
from diffs.management.verify.stories import Base, Story, expected, token
from diffs.registration import require
from diffs.store import Store, get_store
from tests.commands.conftest import Run
from tests.commands.test_progress import Terminal
from tests.servers import RedisServer
from tests.testapp.models import Question

from .conftest import Verify, untold

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["testapp.Questoin"], "'testapp.Questoin' is no registered model. Did you mean 'testapp.Question'?"),
        (["testapp.Tag"], "'testapp.Tag' is no registered model."),
        (["Question"], "'Question' is no registered model."),
        (["--database", "othr"], "--database: there is no 'othr'. Did you mean 'other'?"),
        (["testapp.question", "--database", "other"], "testapp.Question isn't recorded on the database 'other'."),
        (["--settle", "soon"], "--settle: An age is a number of seconds"),
        (["--batch-size", "0"], "--batch-size takes a positive number, not 0."),
        (["--limit-report", "-1"], "--limit-report takes no negative number, such as -1."),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_what_does(run: Run, arguments: list[str], message: str) -> None:
    ran = run("diffs_verify", *arguments)
    assert str(ran.error).startswith(message)
    assert ran.out == ""


def test_reports_no_more_than_asked_for_and_counts_all(verify: Verify) -> None:
    for number in range(4):
        Question.objects.create(text=f"{number}")
    with untold():
        Question.objects.update(votes=1)
    ran = verify("--limit-report", "2")
    assert [line.endswith(": missing update: votes") for line in ran.lines] == [True, True, False, False]
    assert ran.lines[2:] == [
        "Further differences are counted only (--limit-report).",
        "4 objects compared, 4 with differences.",
    ]
    assert verify("--limit-report", "0", "--verbosity", "0").lines == [
        "Further differences are counted only (--limit-report)."
    ]


def test_terminal_gets_a_bar_below_what_is_reported(run: Run) -> None:
    question = Question.objects.create(text="What is life?")
    with untold():
        Question.objects.update(votes=1)
    out = Terminal()
    run("diffs_verify", "--settle", "0.2", out=out)
    written = out.getvalue()
    assert "1 diff read" in written
    assert f"\r\x1b[Ktestapp.question:{question.pk}: missing update: votes\n" in written
    assert "[########################] 100%  1 object compared, 1 with differences" in written


def test_redis_away_is_an_error_with_advice(run: Run, server: RedisServer) -> None:
    server.kill()
    ran = run("diffs_verify")
    assert "is the server of DIFFS_SETTINGS['redis'] running" in str(ran.error)


def test_redis_that_goes_away_before_the_repair_repairs_nothing(
    verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    Question.objects.create(text="What is life?")
    with untold():
        Question.objects.update(votes=1)
    monkeypatch.setattr(Store, "raise_floors", lambda self, floors: False)
    ran = verify("--repair")
    assert ran.lines[-1] == "1 object compared, 1 with differences, 0 repaired."
    assert str(ran.error) == "The readers of 1 object have something else. They could not be refused: run it again."


def test_redis_that_goes_away_half_way_says_what_was_found(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    Question.objects.create(text="What is life?")
    read, calls = Store.read, []

    def break_down(self: Store, requests: Any) -> Any:
        calls.append(requests)
        if len(calls) == 2:
            raise StoreUnavailable("Redis can't be reached.")
        return read(self, requests)

    monkeypatch.setattr(Store, "read", break_down)
    with untold():
        Question.objects.update(votes=1)
    ran = verify()
    assert ran.lines == ["0 objects compared, 0 with differences."]
    assert "Redis can't be reached" in str(ran.error)


def test_help_names_every_option(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    with pytest.raises(SystemExit):
        run("diffs_verify", "--help")
    text = capsys.readouterr().out
    for option in ("APP.MODEL", "--state", "--repair", "--database", "--settle", "--batch-size", "--limit-report"):
        assert option in text


class Hands:
    """A clock that only moves where somebody sleeps, and does something then."""

    def __init__(self, *acts: Any) -> None:
        self.time, self.acts, self.slept = 0.0, list(acts), list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        if self.acts:
            self.acts.pop(0)()

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)


def verification(hands: Hands) -> Verification:
    return Verification(get_store(), [require(Question)], settle=5.0, batch_size=10, clock=hands.clock)


def test_diff_that_arrives_while_it_settles_is_no_difference() -> None:
    question = Question.objects.create(text="What is life?")
    held: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffs.capture.sending.hand_over", lambda entries, *_: held.extend(entries))
        Question.objects.update(votes=1)
    hands = Hands(lambda: get_store().append(held))
    run = verification(hands)
    assert [found for found in run.run() if found] == []
    assert (hands.slept, run.counts.compared) == ([5.0], 1)
    assert question.diffs[-1].data == {"votes": 1}


def test_value_that_goes_to_and_fro_is_no_difference() -> None:
    Question.objects.create(text="What is life?")
    held: list[Any] = []

    def hold(votes: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diffs.capture.sending.hand_over", lambda entries, *_: held.extend(entries))
            Question.objects.update(votes=votes)

    def go_on() -> None:
        get_store().append(held)
        held.clear()
        Question.objects.update(votes=0)
        hold(1)

    hold(1)
    hands = Hands(go_on, go_on, go_on, go_on)
    run = verification(hands)
    assert [found for found in run.run() if found] == []
    # Each time the row shows what the feed doesn't say, and each time the feed was told of something else.
    assert len(hands.slept) == 4
    assert run.counts.unsettled == 1


def test_feed_that_refuses_everybody_meanwhile_has_no_difference() -> None:
    question = Question.objects.create(text="What is life?")
    with untold():
        Question.objects.update(votes=1)
    hands = Hands(question.diffs.clear)
    assert [found for found in verification(hands).run() if found] == []
    assert hands.slept == [5.0]


def test_very_many_suspects_are_looked_at_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffs.management.verify.verification.WAITING", 4)
    Question.objects.bulk_create(Question(text=f"{number}") for number in range(30))
    with untold():
        Question.objects.update(votes=1)
    hands = Hands()
    run = verification(hands)
    assert len([found for found in run.run() if found]) == 30
    assert len(hands.slept) == 3
    assert run.counts.differences == 30


def told(position: int, **data: Any) -> Diff:
    return Diff(
        id="", action="update", data=data, position=position, cursor="", model="a.b", pk=1, version=1, actor=None
    )


def test_field_that_is_too_large_for_a_diff_is_not_known() -> None:
    class Omitting:
        """As a diff is that names a field without its value."""

        def __init__(self, diff: Diff, *names: str) -> None:
            self.omitted, self.diff = names, diff

        def __getattr__(self, name: str) -> Any:
            return getattr(self.diff, name)

    story, feed = Story(), FeedName("a.b", "1")
    story.add(told(10, text="short", votes=1))
    story.add(Omitting(told(11, votes=2), "text"))  # type: ignore[arg-type]
    story = Story.unpack(story.pack())
    base = Base({"text": token("short"), "votes": token(1)}, [str(feed)], dict.fromkeys(SHARDS, Cursor("e", 5)))
    for given in (None, base):
        fields = expected(story, given, feed).fields
        assert fields["text"] is None
        assert fields["votes"] is not None
        assert fields["votes"].token == token(2)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1e20, str(10**20), True),
        (-0.0, 0, True),
        ({"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0}, True),
        ({"a": None}, {}, False),
        ([1, 2], [2, 1], False),
        ("1", 1, False),
        (None, "", False),
        (1.5, 1.5, True),
    ],
)
def test_values_are_the_same_if_readers_can_t_tell_them_apart(one: Any, other: Any, is_same: bool) -> None:
    assert (token(one) == token(other)) is is_same
