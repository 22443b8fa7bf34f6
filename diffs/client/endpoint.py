"""One question and its answer, however often it has to be asked: which steps to take, without taking any."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple, TypeVar

from .addresses import Place
from .answers import ACCEPT, Answer, Failure, check, longest_wait
from .errors import BadRequest, Unauthorized
from .outage import Chance, Clock, Outage
from .tokens import Tokens

T = TypeVar("T")
Parameters = tuple[tuple[str, str], ...]


class Ask(NamedTuple):
    """Step: send a request, and bring back the `Answer` or the `Failure`."""

    url: str
    parameters: Parameters
    headers: Mapping[str, str]
    seconds: float
    """How long the answer may take to begin."""


class Pause(NamedTuple):
    """Step: wait."""

    seconds: float


class Renew(NamedTuple):
    """Step: get tokens from their source."""


Step = Ask | Pause | Renew
Result = Answer | Failure | None
Steps = Generator[Step, Result, T]


class Question(NamedTuple):
    """What is asked for."""

    url: str
    feeds: tuple[str, ...]
    parameters: Parameters = ()


class Told(NamedTuple):
    """An answer that was understood, and how it came."""

    answer: Answer
    waiting: int
    """Seconds for which the server was asked to wait."""
    is_second: bool
    """Whether it had to be asked again, after a failure."""
    fruitless_waits: int
    """How often in a row the server failed when it was asked to wait."""


class Endpoint:
    """An endpoint, and what came out about it; shared by all that a client asks.

    Args:
        place: where it is.
        tokens: what opens its feeds.
        timeout: seconds that an answer may take beyond the wait.
        clock: see `Outage`.
        chance: see `Outage`.
    """

    def __init__(self, place: Place, tokens: Tokens, timeout: float, clock: Clock, chance: Chance) -> None:
        self.place = place
        self.tokens = tokens
        self.clock = clock
        self.chance = chance
        self._timeout = timeout
        self._longest_wait = 10**9
        self._was_seen = False
        self._fruitless_waits = 0

    def answer(
        self, question: Question, read: Callable[[Answer], T], *, wait: int = 0, patience: float | None = 0.0
    ) -> Steps[tuple[T, Told]]:
        """Ask until there is an answer.

        Args:
            question: what is asked for.
            read: understands an answer, or raises what `answers.check` may.
            wait: for how many seconds the server is to wait for news.
            patience: for how many seconds to try again after failures; ``None``: without end.

        Raises:
            ClientError: asking again would be of no use, or patience is over.
        """
        outage = Outage(question.url, patience, self.clock, self.chance)
        was_renewed = False
        while True:
            if self.tokens.is_wanted:
                yield Renew()
            # After a failure only whether it is over; a server may be full of those who wait, and serve others.
            waiting = 0 if outage else min(wait, self._longest_wait)
            answer = yield self._ask(question, waiting)
            try:
                value = self._understood(question, answer, read)
            except Failure as failure:
                was_renewed = False
                self._fruitless_waits += bool(waiting)
                if failure.is_foreign and not self._was_seen:
                    raise failure.as_error() from failure.__cause__
                seconds = outage.pause(failure)
            except Unauthorized:
                if was_renewed or not self.tokens.forget():
                    raise
                was_renewed = True
                continue
            except BadRequest as error:
                if error.parameter != "wait" or not waiting:
                    raise
                self._longest_wait = min(longest_wait(error), waiting - 1)
                continue
            else:
                assert isinstance(answer, Answer)
                if waiting:
                    self._fruitless_waits = 0
                told = Told(answer, waiting, bool(outage), self._fruitless_waits)
                outage.end()
                self._was_seen = True
                return value, told
            yield Pause(seconds)

    def _ask(self, question: Question, waiting: int) -> Ask:
        parameters = question.parameters
        if waiting:
            parameters = (*parameters, ("wait", str(waiting)))
        headers = {"Accept": ACCEPT, **self.tokens.headers(question.feeds)}
        return Ask(question.url, parameters, headers, waiting + self._timeout)

    def _understood(self, question: Question, answer: Result, read: Callable[[Answer], T]) -> T:
        if isinstance(answer, Failure):
            raise answer
        assert answer is not None
        check(answer, question.feeds)
        return read(answer)
