"""The way to a change: through the relay that runs, or into the spool at rest."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from relay import logs
from relay.app import at_rest
from relay.changes import AT_ONCE, DISCARD, REPLAY, Change, Replaying, mark_of, plans
from relay.cli.exits import UNEXPECTED, fail
from relay.cli.line import Line
from relay.cli.text import terminal
from relay.cli.today import pipeline_of
from relay.core.errors import Unavailable
from relay.spool import InUse, in_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from relay.changes import Asked
    from relay.config import Config

_changes = msgspec.json.Decoder(list[Change])


class Way:
    """Asks for changes, piece by piece, with a bar when there are many pieces.

    A relay that runs has the spool's lock: then it does the work, by the rules that it was started with. Else it is
    done here, by those of the file. Ends with a sentence when neither can be.
    """

    def __init__(self, path: Path, config: Config) -> None:
        """Change the spool that `config`, read from `path`, names."""
        self._path = path
        self._config = config
        self._spool = config.spool.path

    def look(self, asked: Asked) -> Iterator[Change]:
        """Say what would be done, and do nothing. A spool at rest is only read."""
        dry = replace(asked, dry_run=True)
        if in_use(self._spool):
            yield from self._ask_relay(dry)
            return
        pipeline = pipeline_of(self._config)
        for piece in _pieces(dry, "looking"):
            try:
                yield from [plan.change for plan in plans(piece, self._spool, pipeline, at_rest=True)]
            except Unavailable as error:
                fail(str(error), UNEXPECTED)

    def make(self, asked: Asked, made: list[Change]) -> None:
        """Do it, and note in `made` what is done, piece by piece: also where it breaks off and ends with a sentence."""
        logs.configure("warning", self._config.log.format, sys.stderr.buffer, os.environ)
        try:
            asyncio.run(self._make_here(asked, made))
        except InUse:
            made.extend(self._ask_relay(asked))
        except Unavailable as error:
            fail(str(error), UNEXPECTED)

    async def _make_here(self, asked: Asked, made: list[Change]) -> None:
        async with at_rest(self._config) as changes:
            for piece in _pieces(asked, "doing"):
                made += await changes.make(piece)

    def _ask_relay(self, asked: Asked) -> Iterator[Change]:
        page = REPLAY if isinstance(asked, Replaying) else DISCARD
        line = Line(self._path, self._config)
        for piece in _pieces(replace(asked, spool=mark_of(self._spool)), "asking the relay"):
            yield from line.ask(page, piece, _changes)


def _pieces(asked: Asked, label: str) -> Iterator[Asked]:
    """Cut what is asked for into pieces that may be asked for at once."""
    numbers = asked.deliveries
    starts: Iterable[int] = range(0, len(numbers), AT_ONCE)
    with click.progressbar(starts, label=label, file=terminal(), hidden=len(numbers) <= AT_ONCE) as bar:
        for start in bar:
            yield replace(asked, deliveries=numbers[start : start + AT_ONCE])
