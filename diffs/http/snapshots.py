"""An object as it is now, for readers who begin or have fallen behind."""

from __future__ import annotations

from typing import Any

from django.db import router

from diffs import pks
from diffs.capture.present import visible_data
from diffs.codec import Encoder, decode, new_nonce
from diffs.diff import CREATE

from .addresses import Target
from .problems import Problem


def object_document(target: Target) -> dict[str, Any]:
    """Read an object, on the database where it is written: a replica may not have yet what a cursor leaves behind.

    Raises:
        Problem: 404 where there is none, or none that its model's hooks let be seen.
    """
    registration, pk = target.registration, target.pk
    model = registration.model
    instance = model._base_manager.using(router.db_for_write(model)).filter(pk=pk).first()
    data = None if instance is None else visible_data(registration, instance)
    if data is None:
        raise Problem(404, "There is no such object.")
    # Stored and read again, so that the values look exactly as they do in diffs.
    member = Encoder(CREATE, 0, new_nonce(), data).own()
    return {"model": registration.label, "pk": pks.wire(model, pk), "data": decode(member).data}
