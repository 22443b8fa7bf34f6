"""A test runner that writes down, for each of Django's tests, how it ended."""

from __future__ import annotations

import json
import logging
import os
import sys
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner

BETWEEN_TESTS = "between tests"


class Log(logging.Handler):
    """What django-diffs logs: all of it tells of trouble."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: dict[str, list[str]] = {}
        self.test = BETWEEN_TESTS

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.setdefault(self.test, []).append(record.getMessage())


class RecordingResult(unittest.TextTestResult):
    """A result that also keeps, by test id, the outcome, the error's first line and its traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, dict[str, str]] = {}
        self.log = Log()
        logging.getLogger("diffs").addHandler(self.log)

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.log.test = test.id()

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        self.log.test = BETWEEN_TESTS

    def _keep(self, test: Any, outcome: str, err: Any = None) -> None:
        kept = {"outcome": outcome}
        if err is not None:
            kept["message"] = f"{err[0].__name__}: {err[1]}".splitlines()[0].strip()
            kept["traceback"] = self._exc_info_to_string(err, test)
        # The first error is the cause; what a test reports after it, in a tear-down say, is a consequence.
        if self.outcomes.get(test.id(), {"outcome": "passed"})["outcome"] != "failed":
            self.outcomes[test.id()] = kept

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._keep(test, "passed")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._keep(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._keep(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._keep(test, "unexpected success")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._keep(test, "failed", err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._keep(test, "failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._keep(test, "failed", err)


class RecordingRunner(DiscoverRunner):
    """Django's test runner, leaving the outcomes in the file that `DJANGO_SUITE_OUTCOMES` names."""

    def get_resultclass(self) -> type[RecordingResult]:
        return RecordingResult

    def run_suite(self, suite: unittest.TestSuite, **kwargs: Any) -> RecordingResult:
        result = super().run_suite(suite, **kwargs)
        # Imported by the registered run alone.
        convergence = sys.modules.get("suite.convergence")
        came = {
            "outcomes": result.outcomes,
            "logs": result.log.messages,
            "divergences": convergence.found if convergence else {},
            "compared": convergence.compared if convergence else {},
        }
        Path(os.environ["DJANGO_SUITE_OUTCOMES"]).write_text(json.dumps(came))
        return result
