"""How long a comment may be."""

LIMIT = 65_000
"""Bytes: a GitHub comment may have 65,536 characters."""
SMALLEST = 4_000
"""Bytes that head and foot need at most, with room for a few rows."""
