"""Hostile heads: each is answered as the contract has it, and the connection goes on in step or is closed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import MARK, harmless, status_of, withstand
from tests.hostile.exchange import PROBED, exchange
from tests.hostile.heads import HEADS
from tests.running import PATH, event, request, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import Running
    from tests.wire import Answer


@pytest.mark.parametrize("case", HEADS)
def test_a_head_is_answered(relay: Running, case: str) -> None:
    """One answer, with the case's status; what follows is answered as what it is, or the end."""
    head = HEADS[case]
    first, *others = exchange(relay.port, head.data)
    assert status_of(harmless(first)) == head.status
    if first.status == 100:
        assert others.pop(0).status == 202
    assert [status_of(answer) for answer in others] in ([], [PROBED])


def test_hostile_heads_leave_nothing_behind(relay: Running) -> None:
    """All of them, again and again: good traffic and memory stay."""

    def attack() -> Iterator[Answer]:
        with ThreadPoolExecutor(32) as pool:
            for answers in pool.map(lambda head: exchange(relay.port, head.data), HEADS.values()):
                yield from answers

    withstand(relay, attack, rounds=8)


def test_what_is_sent_ahead_is_answered_in_order(relay: Running) -> None:
    """A thousand pipelined requests of every kind get each its own answer, in order, whatever came between."""
    rounds = iter(range(100))

    def attack() -> Iterator[Answer]:
        batch = next(rounds)
        kinds = []
        for number in range(250):
            body = event(MARK, event_id=f"ahead-{batch}-{number}")
            kinds += [
                (202, request(body, signed(body))),
                (401, request(body, signed(body, "a key that nobody gave me"))),
                (404, request(body, signed(body), f"/unknown?code={MARK}")),
                (405, f"PUT {PATH} HTTP/1.1\r\nHost: relay\r\n\r\n".encode()),
            ]
        with relay.wire() as wire:
            wire.send(b"".join(data for _, data in kinds))
            answers = [wire.answer() for _ in kinds]
        assert [status_of(answer) for answer in answers] == [status for status, _ in kinds]
        assert [answer.fields["id"] for answer in answers[::4]] == [f"ahead-{batch}-{number}" for number in range(250)]
        yield from answers

    withstand(relay, attack, rounds=8)


def test_who_asks_before_sending_is_told_to_go_on(relay: Running) -> None:
    """A sender that waits for 100 before its body gets that, and then its receipt, on a connection that goes on."""
    rounds = iter(range(100))

    def attack() -> Iterator[Answer]:
        batch = next(rounds)
        with relay.wire() as wire:
            for number in range(50):
                body = event(MARK, event_id=f"asked-{batch}-{number}")
                head, _, _ = request(body, {**signed(body), "Expect": "100-continue"}).partition(b"\r\n\r\n")
                assert wire.ask(head + b"\r\n\r\n").status == 100
                answer = wire.ask(body)
                assert (answer.status, answer.fields["id"]) == (202, f"asked-{batch}-{number}")
                yield answer

    withstand(relay, attack, rounds=4)
