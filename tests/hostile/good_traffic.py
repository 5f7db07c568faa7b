"""Good traffic: a sender whose deliveries are in order, while others attack."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Self

from tests.running import event, request, signed, until
from tests.wire import PATIENCE, Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

FRESH = ("published", "stored")
PAUSE = 0.005
BOUND = 10.0  # seconds within which each is answered, on a machine that others keep busy too


class GoodTraffic:
    """Posts unique deliveries one after another on a kept connection, in a thread, while the context is open.

    Leaving it asserts that each was answered in time with its own receipt.
    """

    def __init__(self, port: int, *, connections: int = 1) -> None:
        """Send to a port of loopback; nothing is sent yet."""
        self.ids: list[str] = []
        self._mark = uuid.uuid4().hex
        self._port = port
        self._stop = threading.Event()
        self._faults: list[str] = []
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(connections)]

    def goes_on(self, answers: int = 3) -> None:
        """Wait until some more have been answered."""
        wanted = len(self.ids) + answers
        until(lambda: len(self.ids) >= wanted or self._faults, 3 * PATIENCE)

    def _send(self, number: int) -> None:
        sent = 0
        try:
            with Wire(self._port) as wire:
                while not self._stop.wait(PAUSE):
                    sent += 1
                    self._deliver(wire.ask, f"good-{self._mark}-{number}-{sent}")
        except (OSError, ValueError) as error:
            self._faults.append(f"delivery {sent} of sender {number}: {error!r}")

    def _deliver(self, ask: Callable[[bytes], Answer], name: str) -> None:
        body = event(event_id=name)
        started = time.monotonic()
        answer = ask(request(body, signed(body)))
        took = time.monotonic() - started
        if answer.status != 202 or answer.fields["id"] != name or answer.fields["status"] not in FRESH:
            self._faults.append(f"{name} was answered {answer}")
        elif took > BOUND:
            self._faults.append(f"{name} was answered after {took:.1f} s")
        else:
            self.ids.append(name)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults
        assert self.ids
