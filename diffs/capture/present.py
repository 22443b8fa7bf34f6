"""An object as it is now, in the form of diffs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models

from diffs.registration import Registration

from . import values


def visible_data(registration: Registration, instance: models.Model) -> Mapping[str, Any] | None:
    """What the diff of the object's creation would hold: the hooks keep back here what they keep back there.

    Args:
        registration: of its model.
        instance: the object; its many-to-many fields are read from its database.

    Returns:
        Values that can be stored; ``None`` where a hook lets nothing be seen.
    """
    if registration.has_send_hook and instance.send_diff() is False:  # type: ignore[attr-defined]
        return None
    hook = registration.serialize_hook
    if hook is None:
        return values.row_data(registration, instance)
    data = hook(instance, {field.name: getattr(instance, field.attname) for field in registration.fields}, True)
    plain: Mapping[str, Any] | None = values.plain(data) if data else None
    return plain
