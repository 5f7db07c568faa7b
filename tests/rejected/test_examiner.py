"""The doctor at work for a relay that runs: bounded in size, in time and in number."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

from relay.core.model import Key
from relay.core.signature import sign
from relay.rejected import examiner
from relay.rejected.examiner import Examiner
from tests.core.samples import SECRET, SOURCE
from tests.running import event

if TYPE_CHECKING:
    import pytest

BODY = event()
LOUD = [sign(SECRET.upper(), BODY)]


async def test_what_goes_wrong_is_found() -> None:
    """The verdict names the key and the mistake, and is said to explain."""
    doctor = Examiner(lambda: [SOURCE])
    verdict, explained = await doctor.examine(SOURCE, LOUD, BODY)
    doctor.stop()
    key = f"key {SOURCE.keys[0].id} of the source contoso"
    assert (verdict, explained) == (f"it would fit {key}, but the sender's key is the relay's in upper case", True)
    assert SECRET.decode().upper() not in str(verdict).upper()


async def test_what_is_large_is_not_tried() -> None:
    """A forger's megabyte costs nothing."""
    doctor = Examiner(lambda: [SOURCE])
    verdict, explained = await doctor.examine(SOURCE, LOUD, bytes(examiner.MAX_BODY + 1))
    doctor.stop()
    assert not explained
    assert str(verdict).startswith("not examined: the body has 16385 bytes")


async def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the processor time is used up, the verdict says so, and where there is more."""
    monkeypatch.setattr(examiner, "BUDGET", 0.0)
    doctor = Examiner(lambda: [SOURCE])
    verdict, explained = await doctor.examine(SOURCE, LOUD, BODY)
    doctor.stop()
    assert (str(verdict)[:38], explained) == ("not found out in the time there was; r", False)


async def test_what_was_found_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another source lent is found in a large body among many keys; and what is found is not thrown away."""
    reads = itertools.count()
    clock = SimpleNamespace(thread_time=lambda: next(reads) / 1000, sleep=lambda _: None)
    monkeypatch.setattr(examiner, "time", clock)  # five hundred tries are all the time there is
    body = b'{"n": [%s]}' % b",".join([b'"xxx"'] * 2_000)
    own = replace(SOURCE, keys=tuple(Key(f"k{number}", str(number).encode() * 36) for number in range(9)))
    lender = replace(SOURCE, name="fabrikam", path="/fabrikam")
    doctor = Examiner(lambda: [own, lender])
    lent = "it is signed with a key of the source fabrikam"
    for signature, said in (
        (sign(SECRET, body), lent),
        (hmac.digest(SECRET, body, "sha256").hex(), f"{lent}; the signature is in hexadecimal digits"),
    ):
        verdict, explained = await doctor.examine(own, [signature], body)
        assert (str(verdict).endswith(f", but {said}"), explained) == (True, True)
    doctor.stop()


async def test_few_wait_and_the_loop_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight wait for the doctor at most; those beyond have no verdict, at once. It works in a thread of its own."""
    go_on, where = threading.Event(), set[str]()

    def slow(*_: object) -> None:
        where.add(threading.current_thread().name)
        assert go_on.wait(20)

    monkeypatch.setattr(examiner, "diagnose", slow)
    doctor = Examiner(lambda: [SOURCE])
    waiting = [asyncio.ensure_future(doctor.examine(SOURCE, LOUD, BODY)) for _ in range(examiner.MAX_WAITING)]
    await asyncio.sleep(0)
    assert await doctor.examine(SOURCE, LOUD, BODY) == (None, False)
    go_on.set()
    assert all(verdict for verdict, _ in await asyncio.gather(*waiting))
    doctor.stop()
    assert where == {"doctor_0"}


async def test_a_stop_does_not_wait_for_the_doctor() -> None:
    """What is under way ends, without a finding; and nothing is begun any more."""
    doctor = Examiner(lambda: [SOURCE])
    waiting = [asyncio.ensure_future(doctor.examine(SOURCE, ["A" * 44], BODY)) for _ in range(examiner.MAX_WAITING)]
    await asyncio.sleep(0)
    doctor.stop()
    assert not any(explained for _, explained in await asyncio.gather(*waiting))
    assert await doctor.examine(SOURCE, LOUD, BODY) == (None, False)


async def test_a_fault_of_the_doctor_hinders_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, and there is no verdict."""

    def faulty(*_: object) -> None:
        raise RuntimeError("a fault in line 17")

    monkeypatch.setattr(examiner, "diagnose", faulty)
    doctor = Examiner(lambda: [SOURCE])
    assert await doctor.examine(SOURCE, LOUD, BODY) == (None, False)
    doctor.stop()
