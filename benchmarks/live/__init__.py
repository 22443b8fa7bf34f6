"""Listening: applications that are listened to, and clients that do nothing else, with as little Python as can be."""
