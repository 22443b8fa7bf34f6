"""Redis: the only room that imports its client."""

from .batch import Entry, FeedRef, Floors
from .news import Ear, News
from .process import close_store, drain, get_store, hand_over
from .store import Known, Page, Read, Store, Stored
from .upkeep import FeedSurvey, PruneResult, ServerInfo, Survey, Upkeep

__all__ = [
    "Ear",
    "Entry",
    "FeedRef",
    "FeedSurvey",
    "Floors",
    "Known",
    "News",
    "Page",
    "PruneResult",
    "Read",
    "ServerInfo",
    "Store",
    "Stored",
    "Survey",
    "Upkeep",
    "close_store",
    "drain",
    "get_store",
    "hand_over",
]
