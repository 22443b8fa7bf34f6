"""Waiting for news: what the endpoint does beyond answering at once, in one event loop."""
