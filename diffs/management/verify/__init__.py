"""Objects beside what the readers of their feeds would have of them."""

from .baseline import Baseline, BaselineError
from .verification import Clock, Counts, Difference, Verification

__all__ = ["Baseline", "BaselineError", "Clock", "Counts", "Difference", "Verification"]
