"""What the tests of the spool share: entries, stores on real files, and a look into them by another connection."""

from __future__ import annotations

import asyncio
import resource
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import apsw

from relay.core.errors import Reason
from relay.core.model import Delivery, Status
from relay.spool import Appended, Entry, Flight, Journal, Settlement, Spool
from relay.spool.file import connect_reader, rows
from relay.spool.store import Store
from relay.spool.totals import Totals, read_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from relay.metrics import Metrics

MIB = 1 << 20
NOW = 1_000_000.0
TABLES = ("deliveries", "bodies", "records", "flights", "ids", "totals")
FLIGHT = Flight(0, "a", 2, "cluster", 4000, 1, 17, 12.5, ((1, b"key"), (2, b"")))


def entry(
    id: str,  # noqa: A002 - the word of CloudEvents
    *,
    body: bytes = b'{"type":"ProvisioningStarted"}',
    status: Status = Status.PENDING,
    fingerprint: bytes | None = None,
    source: str = "contoso",
) -> Entry:
    """Give a delivery to append; its fingerprint follows its id unless it is said."""
    return Entry(
        delivery=Delivery(source, body, "c2lnbmF0dXJl", "key-1", 12.5, "00-1234-5678-01"),
        event_id=id,
        type="ProvisioningStarted",
        dedupe_id=id,
        fingerprint=fingerprint or sha256(id.encode()).digest()[:16],
        status=status,
        reason=Reason.UNROUTABLE if status is Status.DEAD else None,
        detail={Status.DEAD: "no rule matches", Status.DROPPED: "noise"}.get(status),
    )


@contextmanager
def opened(path: Path, *, max_size: int = 64 * MIB, remembered: int = 1000) -> Iterator[Store]:
    """Open a store, let it recall the ids, and close it."""
    with closing(Store(path, max_size=max_size, remembered=remembered)) as store:
        recall_all(store)
        yield store


def recall_all(store: Store) -> None:
    """Let a store read all its ids into memory."""
    while not store.recall():
        pass


def append(store: Store, *entries: Entry) -> list[Appended]:
    """Append in one commit what must be taken."""
    answers, _ = store.commit(entries, (), NOW)
    taken = [answer for answer in answers if isinstance(answer, Appended)]
    assert len(taken) == len(answers)
    return taken


def settle(store: Store, *settlements: Settlement) -> list[tuple[int, Status, Reason | None]]:
    """Write settlements in one commit; give the ends they brought."""
    _, [journalled] = store.commit((), (Journal(settlements),), NOW)
    return [(done.number, done.status, done.reason) for done in journalled.done]


def published(number: int, topic: str = "a", topics: tuple[str, ...] = ("a",)) -> Settlement:
    """Give the settlement of a record that is in Kafka."""
    return Settlement(number, topics, topic, 0, 100 + number)


def refused(number: int, topic: str = "a", topics: tuple[str, ...] = ("a",)) -> Settlement:
    """Give the settlement of a record that Kafka will never take."""
    return Settlement(number, topics, topic, reason=Reason.REFUSED, detail="the broker refused it")


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    """Read from the file beside the store."""
    with closing(connect_reader(path)) as connection:
        return rows(connection, query)


def totals_of(path: Path, *, started: bool = False) -> Totals:
    """Read the totals beside the store."""
    with closing(connect_reader(path)) as connection:
        totals = read_totals(connection, started=started)
    assert totals is not None
    return totals


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Read everything that the file holds."""
    return {table: look(path, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}  # noqa: S608 - constant


def alter(path: Path, statement: str) -> None:
    """Change the file beside the store, as a fault would."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(5000)
        connection.execute(statement)


def spool_at(path: Path, metrics: Metrics, **settings: Any) -> Spool:  # noqa: ANN401 - the settings of Spool
    """Name a spool; `async with` opens it."""
    return Spool(path, metrics=metrics, **{"max_size": 64 * MIB, "retention": 60.0, "remembered": 1000} | settings)


def log_of(path: Path) -> Path:
    """Name the write-ahead log of a spool."""
    return path.with_name(path.name + "-wal")


def forget(_: Appended) -> None:
    """Hand on nothing."""


@contextmanager
def disk_refuses(path: Path) -> Iterator[None]:
    """Let the log of this spool grow no more: every write behind its end is an error of the disk."""
    end = log_of(path).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (end, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def append_all(spool: Spool, ids: list[str]) -> list[Appended]:
    """Append at once, each as a request of its own."""
    return await asyncio.gather(*(spool.append(entry(id_), forget) for id_ in ids))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.005)
