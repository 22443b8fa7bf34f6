"""Redis: the only room that imports its client."""

from .batch import Entry, FeedRef, Floors, Late, Outcome, Receipt, in_order
from .news import Ear, News
from .process import close_store, drain, get_store, hand_over, mark
from .reading import Known, Page, Read, Stored
from .sender import SENDER
from .store import Store
from .upkeep import FeedSurvey, PruneResult, ServerInfo, Survey, Upkeep

__all__ = [
    "SENDER",
    "Ear",
    "Entry",
    "FeedRef",
    "FeedSurvey",
    "Floors",
    "Known",
    "Late",
    "News",
    "Outcome",
    "Page",
    "PruneResult",
    "Read",
    "Receipt",
    "ServerInfo",
    "Store",
    "Stored",
    "Survey",
    "Upkeep",
    "close_store",
    "drain",
    "get_store",
    "hand_over",
    "in_order",
    "mark",
]
