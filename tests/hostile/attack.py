"""Attack: what every attack on a relay must leave as it was, with good traffic beside it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.hostile.good_traffic import GoodTraffic
from tests.running import KEY, UNWANTED, until
from tests.server.test_contract import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.running import Running
    from tests.wire import Answer

MARK = "5ecret5"  # stands in bodies, queries and headers of attacks, and nowhere else
PLANTED = "delivery.invented"  # an event of the log that attacks try to write
SPARE = 8 << 20  # bytes by which memory may differ after the same attack again
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{43}=")


class Balance(NamedTuple):
    """What the relay has counted, read in one scrape."""

    accepted: float
    duplicate: float
    rejected: float
    published: float
    dead: float
    dropped: float
    unavailable: float
    pending: float

    @property
    def answered(self) -> float:
        """Requests that got an answer; each is counted in one way."""
        return self.accepted + self.duplicate + self.rejected + self.unavailable


def balance(relay: Running) -> Balance:
    """Read the counters, each over all its labels."""
    page = relay.get("/metrics").body.decode()
    sums = dict.fromkeys(Balance._fields, 0.0)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            word = sample.name.removeprefix("relay_deliveries_").removesuffix("_total")
            if sample.name.startswith("relay_deliveries_") and word in sums:
                sums[word] += sample.value
    return Balance(**sums)


def resident(pid: int) -> int:
    """Give the resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def status_of(answer: Answer) -> int:
    """Give an answer's status; 401 also for 429 once the attacks, which all come of one network, failed too often."""
    return 401 if answer.status == 429 and b"signature is missing or wrong" in answer.body else answer.status


def harmless(answer: Answer) -> Answer:
    """Assert what holds of every answer to a stranger: in form, no 5xx, and nothing of what was sent."""
    if answer.status != 100:
        checked(answer)
    assert answer.status < 500, answer
    assert MARK not in str(answer)
    assert KEY not in str(answer)
    return answer


@contextmanager
def good_traffic_beside(relay: Running, fresh: Callable[[], int] = lambda: 0) -> Iterator[GoodTraffic]:
    """Let good traffic go on beside what happens inside, and afterwards audit the relay.

    Every good delivery was answered, and nothing was accepted but those and as many as `fresh` says; each
    accepted one has one outcome; nobody was answered 429 or 503; the log complains of nothing and
    holds no secret.
    """
    relay.settle()
    before, told = balance(relay), len(relay.text)
    with GoodTraffic(relay.port) as good:
        good.goes_on(1)
        yield good
        good.goes_on()
    relay.settle()
    after, log = balance(relay), relay.text[told:]
    changed = Balance(*(now - then for now, then in zip(after, before, strict=True)))
    assert changed.accepted == len(good.ids) + fresh(), changed
    assert changed.accepted == changed.published + changed.dead + changed.dropped, changed
    assert changed.unavailable == 0
    assert relay.runs
    for word in (*UNWANTED, MARK, KEY):
        assert word not in log, next(line for line in log.splitlines() if word in line)
    assert not _SIGNATURE.search(log), _SIGNATURE.search(log)
    assert PLANTED not in {json.loads(line)["event"] for line in log.splitlines()}


def withstand(relay: Running, attack: Callable[[], Iterable[Answer]], *, rounds: int) -> None:
    """Attack again and again, beside good traffic: every answer is harmless, and memory does not grow.

    The first time is not measured: what is allocated once is no growth.
    """
    accepted = 0

    def attacked() -> None:
        nonlocal accepted
        for answer in attack():
            harmless(answer)
            accepted += answer.status == 202 and answer.fields["status"] != "duplicate"

    with good_traffic_beside(relay, lambda: accepted):
        attacked()
        memory = resident(relay.pid)
        for _ in range(rounds):
            attacked()
        until(lambda: resident(relay.pid) <= memory + SPARE)
