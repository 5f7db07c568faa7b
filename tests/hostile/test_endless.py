"""What has no end, and what is slow: it is cut off by size or by time, and nothing of it is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import good_traffic_beside, resident, status_of, withstand
from tests.hostile.deaf import ENOUGH, Deaf
from tests.hostile.endless import CHUNKED, ENDLESS, START
from tests.hostile.exchange import PROBE, pour, trickle
from tests.hostile.heads import BODY
from tests.running import request, signed, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import Running
    from tests.wire import Answer

TIMEOUT = 1.0  # body_timeout and header_timeout of the relay
LATE = 10.0  # seconds after which a slow sender should be gone, however busy the machine is
SLOW = 100
DEAF = 50
HELD = 32 << 20  # bytes of memory that all deaf senders together may take up
UNREAD = {"refused": PROBE, "unknown": PROBE.replace(b"/webhooks", b"/x"), "accepted": request(BODY, signed(BODY))}


@pytest.mark.parametrize("case", ENDLESS)
def test_what_has_no_end_is_cut_off(relay: Running, case: str) -> None:
    """An answer that says why or none, and then the end of the connection; again and again, and memory stays."""
    pieces, statuses = ENDLESS[case]

    def attack() -> Iterator[Answer]:
        with ThreadPoolExecutor(4) as pool:
            for answers in pool.map(pour, [relay.port] * 4, [pieces() for _ in range(4)]):
                assert {status_of(answer) for answer in answers} <= statuses
                assert len(answers) < 3
                yield from answers

    withstand(relay, attack, rounds=1)


@pytest.mark.parametrize(
    ("start", "repeated", "statuses"),
    [
        (b"", START * 10, set()),
        (START + b"X: ", b"a", set()),
        (CHUNKED, b"1\r\na\r\n", {408}),
        (CHUNKED.replace(b"Transfer-Encoding: chunked", b"Content-Length: 1000"), b"a", {408}),
    ],
    ids=["a head", "a header", "chunks", "a body"],
)
def test_who_is_slow_is_cut_off(relay: Running, start: bytes, repeated: bytes, statuses: set[int]) -> None:
    """Many that send a byte at a time, for ever: closed when their time is over and not before, 408 for a body."""

    def attack() -> Iterator[Answer]:
        for closed_after, answers in trickle(relay.port, start, repeated, SLOW):
            assert TIMEOUT - 0.1 < closed_after < LATE
            assert {answer.status for answer in answers} == statuses
            yield from answers

    withstand(relay, attack, rounds=1)


@pytest.mark.parametrize("case", UNREAD)
def test_who_never_reads_is_not_read_either(relay: Running, case: str) -> None:
    """Nothing more is taken from a sender that takes no answers; many of them hold little memory, and give it back."""

    def attack() -> None:
        with ExitStack() as stack, ThreadPoolExecutor(DEAF) as pool:
            deaf = [stack.enter_context(Deaf(relay.port)) for _ in range(DEAF)]
            for sender in pool.map(lambda each: (each.send(UNREAD[case]), each)[1], deaf):
                assert sender.taken < ENOUGH
            until(lambda: resident(relay.pid) < memory + HELD)
            good.goes_on()

    relay.post(BODY)
    memory = resident(relay.pid)
    with good_traffic_beside(relay) as good:
        for _ in range(3):
            attack()
