"""A contender's process: ``python -m benchmarks.harness.serving`` runs what it is asked to, line by line."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    """Set the project up, then serve requests until there are no more."""
    # What a library prints must not be taken for a reply.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"result": run(request["operation"], request["arguments"])}
        except Exception:
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def run(operation: str, arguments: dict[str, Any]) -> Any:
    """Call a function of ``benchmarks.operations``, with Django set up.

    Args:
        operation: its module and name: ``"saving.update"``.
        arguments: its keywords.
    """
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()
    module, _, name = operation.rpartition(".")
    return getattr(importlib.import_module(f"benchmarks.operations.{module}"), name)(**arguments)


if __name__ == "__main__":
    main()
