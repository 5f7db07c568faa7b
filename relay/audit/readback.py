"""Readback: what the spool says is in Kafka held against what anybody reads there."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from relay.core.cloudevents import see
from relay.core.model import Signs
from relay.kafka import History
from relay.spool import Found, Reconciliation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from relay.config import Config
    from relay.core.cloudevents import Seen
    from relay.core.model import Route, Source
    from relay.kafka import Place, Written
    from relay.spool import Census, Discrepancy, Row, Totals

REPLAYED = "relay-replay"  # the header of a record that is meant to stand there again


class Readback:
    """Both sides, taken in a page at a time; asked for their differences when all is in. In bounded memory.

    In this order: `expect` each page of deliveries, `read` Kafka, `remember` the ids. Then everything that
    the spool knows as published is older than the ends up to which is read, and what comes meanwhile is known
    by its id.
    """

    def __init__(self, scratch: Path, config: Config) -> None:
        """Compare in the file `scratch`, which must not exist; the caller removes it, after `close`."""
        self._reconciliation = Reconciliation(scratch)
        self._config = config
        self._sources: dict[str, list[Source]] = {}
        for source in config.sources:
            self._sources.setdefault(source.uri, []).append(source)
        self.topics: set[str] = set()
        self.absent: set[str] = set()
        self._last = 0
        self._swept = 0

    def expect(self, page: Sequence[Row]) -> None:
        """Take in deliveries that the spool holds."""
        self._reconciliation.expect(page)
        self._last = page[-1].number
        self.topics |= {place.topic for row in page for place in row.places}

    async def read(self, on_bounds: Callable[[int], None], on_step: Callable[[int], None]) -> None:
        """Read the topics of these deliveries, and all that the rules could name, up to their present ends.

        Tells `on_bounds` how many offsets there are to read and `on_step` how many were. Raises `KafkaUnavailable`.
        """
        async with History(self._config.kafka) as history:
            places = self._places(await history.partitions())
            firsts, ends = await history.bounds(places)
            on_bounds(sum(end - firsts[place] for place, end in ends.items()))
            async for batch, step in history.records(firsts, ends):
                self._reconciliation.find(map(self._found, batch))
                on_step(step)
            retained, _ = await history.bounds(places)  # what went while it was read is not missing
            self._reconciliation.bound(retained, await history.compacted({topic for topic, _ in places}))

    def remember(self, census: Census) -> None:
        """Take in the ids that the spool remembers. Raises `Unavailable`."""
        damaged = False
        for page in census.digests():
            digests = [digest for digest in page if digest is not None]
            damaged = damaged or len(digests) < len(page)
            self._reconciliation.remember(digests)
        for rows in census.deliveries(census.tally().last_number, self._last):
            self._reconciliation.recognise(rows)
        tally = census.tally()  # the last that is read: what was swept until now is beyond the horizon
        self._swept = tally.now.gone + tally.now.departed
        forgotten = tally.ids_forgotten or damaged
        self._reconciliation.sort(_horizon(tally.now, forgotten=forgotten), _horizon(tally.now, forgotten=True))

    def differences(self) -> Iterator[tuple[str, Discrepancy]]:
        """Give every id that is missing, doubled or unknown, with the word for it."""
        for name, found in (
            ("missing", self._reconciliation.missing()),
            ("doubled", self._reconciliation.doubled()),
            ("unknown", self._reconciliation.unknown()),
        ):
            for one in found:
                yield name, one

    def counts(self) -> Mapping[str, int]:
        """Count what was compared, and what could not be: of `swept` deliveries the spool says no longer where."""
        return {**self._reconciliation.counts(), "swept": self._swept}

    def close(self) -> None:
        """Close the scratch file."""
        self._reconciliation.close()

    def _places(self, partitions: Mapping[str, Collection[int]]) -> list[Place]:
        """Give the partitions to read, of all that the cluster has."""
        patterns = [re.compile(pattern) for route in self._config.routes for pattern in _patterns(route)]
        named = {topic for topic in partitions if any(pattern.fullmatch(topic) for pattern in patterns)}
        self.absent = self.topics - set(partitions)
        self.topics = (self.topics & set(partitions)) | named
        return [(topic, partition) for topic in sorted(self.topics) for partition in partitions[topic]]

    def _found(self, record: Written) -> Found:
        """Say what a record claims to be; one that is no event of our sources is somebody else's."""
        seen = see(record.value, record.headers)
        place = record.topic, record.partition, record.offset, record.sent_at
        if seen is None:
            return Found(*place, id="", event=b"", claims=())
        sources = self._sources.get(seen.source, ())
        claims = [(source.name, id_) for source in sources for id_ in _ids(source, seen)]
        # What cannot be told apart by a signed id is told apart by its content.
        signed = all(source.signs is Signs.BODY for source in sources)
        event = seen.id.encode() if signed else seen.data
        mirror, copied = seen.dead_delivery is not None, seen.dead_delivery
        if mirror:  # several dead letters may have one id, and each has a mirror
            event = f"{seen.source} {seen.dead_delivery}".encode()
        else:
            copied = next((value.decode(errors="replace") for name, value in record.headers if name == REPLAYED), None)
        digest = hashlib.sha256(event).digest()[:16]
        return Found(*place, id=seen.id, event=digest, claims=claims, copied=_number(copied), mirror=mirror)


def _number(copied: str | None) -> int | None:
    """Give the number of the delivery that a record says it repeats; 0, which none has, for what is no number."""
    if copied is None:
        return None
    return int(copied) if re.fullmatch("[0-9]{1,18}", copied) else 0


def _horizon(totals: Totals, *, forgotten: bool) -> float:
    """Give the time after which each record that was sent belongs to a delivery that the spool knows still.

    Ids may be forgotten, by age or for damage; the rows of those that were swept tell no longer what was sent.
    """
    return max(totals.made_at, (totals.swept_until or 0.0) if forgotten else 0.0)


def _ids(source: Source, seen: Seen) -> Iterator[str]:
    """Give the ids under which the spool may know an event: its own, or where that is not signed, its content's."""
    yield seen.id
    if source.signs is Signs.CONTENT:
        yield f"sha256:{hashlib.sha256(seen.data).hexdigest()}"
        with suppress(msgspec.DecodeError):  # a content that is a text is signed as the text it stands for
            text = msgspec.json.decode(seen.data, type=str)
            yield f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _patterns(route: Route) -> Iterator[str]:
    """Give a pattern for each topic that a rule could name."""
    for template in route.topics:
        literals = re.split(r"\{[^}]*\}", template.source)
        yield "[a-zA-Z0-9._-]+".join(map(re.escape, literals))
