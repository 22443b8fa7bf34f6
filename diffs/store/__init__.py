"""Redis: the only room that imports its client."""

from .batch import Entry, FeedRef, Floors
from .store import Page, Read, Store, Stored, close_store, get_store
from .upkeep import FeedSurvey, PruneResult, Survey, Upkeep

__all__ = [
    "Entry",
    "FeedRef",
    "FeedSurvey",
    "Floors",
    "Page",
    "PruneResult",
    "Read",
    "Store",
    "Stored",
    "Survey",
    "Upkeep",
    "close_store",
    "get_store",
]
