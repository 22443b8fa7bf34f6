"""An object as it is now, for readers who begin or have fallen behind."""

from __future__ import annotations

from typing import Any

from django.db import router

from diffs import pks
from diffs.capture.values import row_data
from diffs.codec import Encoder, decode, new_nonce
from diffs.diff import CREATE

from .addresses import Target
from .problems import Problem


def object_document(target: Target) -> dict[str, Any]:
    """Read an object, on the database where it is written: a replica may not have yet what a cursor leaves behind.

    Raises:
        Problem: 404.
    """
    registration, pk, _ = target
    model = registration.model
    instance = model._base_manager.using(router.db_for_write(model)).filter(pk=pk).first()
    if instance is None:
        raise Problem(404, "There is no such object.")
    # Stored and read again, so that its values look exactly as they do in diffs.
    member = Encoder(CREATE, 0, new_nonce(), row_data(registration, instance)).own()
    return {"model": registration.label, "pk": pks.wire(model, pk), "data": decode(member).data}
