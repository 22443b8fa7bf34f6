"""The errors of django-diffs: one root, and each docstring is the advice."""

from __future__ import annotations


class DiffsError(Exception):
    """The root of all errors of django-diffs."""


class ConfigurationError(DiffsError):
    """``DIFFS_SETTINGS`` can't be used as it stands: the message names the key and what it takes."""


class RegistrationError(DiffsError):
    """A model can't be registered as asked: the message says what stands in the way."""


class NotRegistered(DiffsError):
    """The model has no diffs: decorate it with ``@diffs.register``."""


class NoModelFeed(DiffsError):
    """The model keeps no feed of all its objects: register it with ``model_feed=True``."""


class SerializationError(DiffsError):
    """A value can't be put into a diff: give it a form that JSON knows, in ``serialize_diff`` or the field."""


class MemberError(DiffsError):
    """Stored bytes are no diff that this release can read."""


class CursorError(DiffsError):
    """The text is no cursor: use one exactly as it was handed out, or none."""


class CursorExpired(DiffsError):
    """The cursor is no longer honoured: fetch the object again and go on from `cursor`."""

    def __init__(self, reason: str, cursor: str) -> None:
        self.reason = reason
        """``"window"``: too old; ``"reset"``: changes were dropped or lost since; ``"unknown"``: never handed out."""
        self.cursor = cursor
        """A fresh cursor, taken before you fetch the object again."""
        super().__init__(f"This cursor is no longer honoured ({reason}): fetch the object again, go on from `cursor`.")


class StoreUnavailable(DiffsError):
    """Redis can't be reached, or can't answer now: try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        """Seconds."""
        super().__init__(message)


class TokenError(DiffsError):
    """The feed token is wrong, expired or made for another feed or user: ask the site for a new one."""
