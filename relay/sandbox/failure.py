"""Failure: why the sandbox cannot go on."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - like a fate, it is what happens next: one sentence, and exit 1
    """Ends a command of the sandbox; its text is one sentence for the person who started it."""
