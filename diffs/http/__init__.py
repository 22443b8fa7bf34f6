"""The pull endpoint, and what pages need to make use of it."""

from .client import ClientFeed, client_feed

__all__ = ["ClientFeed", "client_feed"]
