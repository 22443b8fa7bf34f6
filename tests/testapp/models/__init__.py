"""The models that the tests change, by what they are there for."""

from .extra import Parcel, Probe, Shelf, Temperature
from .fields import Everything, Patch, Rectangle, Snapshot
from .flights import Airline, Airport, Flight
from .hooks import (
    Comment,
    Draft,
    LegacyComment,
    LegacyScore,
    Note,
    Score,
    SelfAware,
    TaggedItem,
    Topic,
)
from .inheritance import Bar, Contact, Dear, Document, Friendly, HotQuestion, Invoice, Letter, Place, Restaurant, Venue
from .keys import Country, Currency, Rate, Seat, Token
from .options import Archive, Bulletin, Notice, Ticker
from .polls import Choice, Question, Tag
from .relations import Author, Book, Friend, Group, Membership, Person, Playlist, Position, Song

__all__ = [
    "Airline",
    "Airport",
    "Archive",
    "Author",
    "Bar",
    "Book",
    "Bulletin",
    "Choice",
    "Comment",
    "Contact",
    "Country",
    "Currency",
    "Dear",
    "Document",
    "Draft",
    "Everything",
    "Flight",
    "Friend",
    "Friendly",
    "Group",
    "HotQuestion",
    "Invoice",
    "LegacyComment",
    "LegacyScore",
    "Letter",
    "Membership",
    "Note",
    "Notice",
    "Parcel",
    "Patch",
    "Person",
    "Place",
    "Playlist",
    "Position",
    "Probe",
    "Question",
    "Rate",
    "Rectangle",
    "Restaurant",
    "Score",
    "Seat",
    "SelfAware",
    "Shelf",
    "Snapshot",
    "Song",
    "Tag",
    "TaggedItem",
    "Temperature",
    "Ticker",
    "Token",
    "Topic",
    "Venue",
]
