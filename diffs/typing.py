"""Names for what Django's type stubs don't describe: private attributes, and those of some kinds of field only."""

from __future__ import annotations

from typing import Any

AnyField = Any
"""A concrete field, or a many-to-many field."""
AnyQuerySet = Any
"""A queryset, with its private attributes."""
AnyModel = Any
"""A model or one of its objects, with their private attributes."""
