"""Hostile bodies: forged they are 401, authentic they are kept, by the rules for what is published and what is dead."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import MARK, status_of, withstand
from tests.hostile.bodies import BODIES, REASONS
from tests.kafka.reader import read_topic
from tests.records import dead_letter
from tests.running import KEY, request, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster
    from tests.running import Running
    from tests.wire import Answer

FORGED = "a key that nobody gave me"


def value_of(kafka: Cluster, answer: Answer) -> bytes:
    """Give the value in Kafka of the one record of a receipt."""
    (place,) = answer.records
    records = asyncio.run(read_topic(kafka.bootstrap_servers, place.topic))
    (value,) = (each.value for each in records if (each.partition, each.offset) == (place.partition, place.offset))
    assert value is not None
    return value


@pytest.mark.parametrize("case", BODIES)
def test_an_authentic_body_is_kept(relay: Running, kafka: Cluster, case: str) -> None:
    """202: its data is in Kafka byte for byte as it was signed, or it is a dead letter with reason and all bytes."""
    body = BODIES[case].with_id(str(uuid.uuid4()))
    data = BODIES[case].data
    answer, again = relay.post(body), relay.post(body)
    assert answer.status == again.status == 202
    assert (again.fields["status"], again.fields["delivery"]) == ("duplicate", answer.fields["delivery"])
    if data is None:
        reason = REASONS.get(case, "malformed")
        assert (answer.fields["status"], answer.fields["reason"]) == ("dead", reason)
        kept = dead_letter(relay.folder, answer.fields["delivery"])
        assert kept == ("dead", reason, body, signed(body)["Signature"])
    else:
        assert answer.fields["status"] == "published"
        assert value_of(kafka, answer).endswith(b',"data":%b}' % data)


@pytest.mark.parametrize("case", BODIES)
def test_a_forged_body_is_refused(relay: Running, case: str) -> None:
    """401, whatever is in it, where the body is signed and where the content is: nothing is parsed for a stranger."""
    body = BODIES[case].with_id(str(uuid.uuid4()))
    accepted = relay.metric("relay_deliveries_accepted_total")
    for target in ("/webhooks/contoso", "/content"):
        assert status_of(relay.post(body, headers={}, target=target)) == 401
        assert status_of(relay.post(body, key=FORGED, target=target)) == 401
    assert status_of(relay.post(body, key=KEY, target="/content")) == 401
    assert relay.metric("relay_deliveries_accepted_total") == accepted


def test_hostile_bodies_leave_nothing_behind(relay: Running) -> None:
    """All of them, again and again, authentic and forged on both kinds of source: good traffic and memory stay."""

    def attack() -> Iterator[Answer]:
        for body in BODIES.values():
            text = body.with_id(str(uuid.uuid4())).replace(b"hello", MARK.encode())
            with relay.wire() as wire:
                yield wire.ask(request(text, signed(text), f"/webhooks/contoso?code={MARK}"))
                yield wire.ask(request(text, signed(text, FORGED)))
                yield wire.ask(request(text, signed(text, FORGED), "/content"))

    withstand(relay, attack, rounds=8)
