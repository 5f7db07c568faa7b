"""Exits: with which code a verb ends, and what it says then."""

from __future__ import annotations

from typing import NoReturn

import click

NO, UNEXPECTED, CONFIGURATION = 1, 70, 78


def fail(message: str, code: int) -> NoReturn:
    """Say on stderr what is wrong, and end."""
    click.echo(f"relay: {message}", err=True)
    leave(code)


def leave(code: int) -> NoReturn:
    """End with this code."""
    raise SystemExit(code)
