"""Measures of how fast the package is: never asserted by a test, always shown by a table."""
