"""No request smuggles another one in, raw or behind nginx."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import balance, good_traffic_beside, harmless, withstand
from tests.hostile.exchange import PROBED, exchange
from tests.hostile.good_traffic import FRESH, GoodTraffic
from tests.hostile.nginx import Nginx, installed
from tests.hostile.smuggling import SMUGGLED, hidden_delivery
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.running import Running
    from tests.wire import Answer

ROUNDS = 5


@pytest.fixture
def nginx(relay: Running, tmp_path: Path) -> Iterator[Nginx]:
    """Give nginx before the relay; skip where it is not installed, fail instead when CI is true."""
    if installed() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not installed", pytrace=False)
        pytest.skip("nginx is not installed")
    with Nginx(tmp_path, relay.port) as front:
        yield front


@pytest.mark.parametrize("case", SMUGGLED)
def test_nothing_is_smuggled(relay: Running, case: str) -> None:
    """One refusal, then the next request or the end; what was hidden has not been accepted."""
    hidden, body = hidden_delivery(f"hidden: {case}")
    answers = [answer for answer in exchange(relay.port, SMUGGLED[case](hidden)) if answer.status != 100]
    assert [harmless(answer).status for answer in answers[1:]] in ([], [PROBED])
    assert all(400 <= answer.status < 500 for answer in answers)
    assert relay.post(body).fields["status"] in FRESH


def test_smuggling_leaves_nothing_behind(relay: Running) -> None:
    """All of it, again and again: nothing but good traffic is accepted, and memory stays."""
    names = (f"hidden in round {number}" for number in itertools.count())

    def attack() -> Iterator[Answer]:
        hidden, _ = hidden_delivery(next(names))
        with ThreadPoolExecutor(16) as pool:
            for answers in pool.map(lambda case: exchange(relay.port, case(hidden)), SMUGGLED.values()):
                assert 202 not in {answer.status for answer in answers}
                yield from answers

    withstand(relay, attack, rounds=ROUNDS)


def test_nothing_is_smuggled_past_nginx(relay: Running, nginx: Nginx) -> None:
    """The relay sees no more requests than nginx has forwarded, and the other clients of nginx get their own answers.

    nginx may take for a request what a strict reader would not; then both see it.
    """
    accepted, before = 0, balance(relay)
    with good_traffic_beside(relay, lambda: accepted + len(whole.ids) + len(piecemeal.ids)) as direct:
        clients = (GoodTraffic(port, connections=4) for port in (nginx.whole, nginx.piecemeal))
        with next(clients) as whole, next(clients) as piecemeal, ThreadPoolExecutor(16) as pool:
            ports = (nginx.whole, nginx.piecemeal)
            attacks = list(itertools.product(range(ROUNDS), ports, SMUGGLED.items()))
            requests = [
                (port, smuggle(hidden_delivery(f"behind {port}, {number}: {case}")[0]))
                for number, port, (case, smuggle) in attacks
            ]
            for answers in pool.map(lambda each: exchange(*each), requests):
                assert not {500, 502, 503, 504} & {answer.status for answer in answers}, answers  # 501 is nginx's own
                accepted += sum(answer.status == 202 and answer.fields["status"] in FRESH for answer in answers)
            whole.goes_on()
            piecemeal.goes_on()
    until(lambda: balance(relay).answered - before.answered - len(direct.ids) in nginx.forwarded)
