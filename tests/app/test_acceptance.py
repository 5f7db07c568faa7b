"""What becomes of authentic deliveries: published, recognised, dropped or kept dead, and told as such."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from relay.core.model import Signs
from relay.core.signature import message_of, sign
from tests.app.conftest import NEW_KEY, OTHER_KEY
from tests.records import dead_letter, envelopes, ids
from tests.running import KEY, PATH, event, signed, until

if TYPE_CHECKING:
    from tests.app.conftest import Ground

SETTLED = ("published", "dead", "dropped")


def fresh() -> str:
    """Give an id nobody has used."""
    return str(uuid.uuid4())


def test_a_hundred_at_once_are_one_record(ground: Ground) -> None:
    """Of a hundred equal deliveries at once one is accepted; the others get its receipt, records included."""
    body = event(event_id=(name := fresh()))
    with ThreadPoolExecutor(100) as pool:
        answers = [answer.fields for answer in pool.map(ground.relay.post, [body] * 100)]
    (first,) = (answer for answer in answers if answer["status"] != "duplicate")
    assert first["status"] == "published"
    repeats = [answer for answer in answers if answer is not first]
    assert all(repeat == {**first, "status": "duplicate", "first": "published"} for repeat in repeats)
    assert ids(ground.kafka, "app.provisioning-started").count(name) == 1
    assert ground.relay.told("delivery.duplicate", id=name, first="published")


def test_a_repeat_waits_for_the_first(ground: Ground) -> None:
    """A repeat that comes while the first is on its way to Kafka gets the first one's outcome."""
    ground.relay.post(event())  # the lane is open
    body = event(event_id=(name := fresh()))
    before = ground.relay.metric("relay_deliveries_accepted_total")
    with ThreadPoolExecutor(2) as pool:
        ground.kafka.pause(1)
        try:
            first = pool.submit(ground.relay.post, body)
            until(lambda: ground.relay.metric("relay_deliveries_accepted_total") == before + 1)
            repeat = pool.submit(ground.relay.post, body)
            until(lambda: ground.relay.metric("relay_answers_waiting") == 2)
        finally:
            ground.kafka.resume(1)
        one, two = first.result(20).fields, repeat.result(20).fields
    assert one["status"] == "published"
    assert two == {**one, "status": "duplicate", "first": "published"}
    assert ids(ground.kafka, "app.provisioning-started").count(name) == 1


def test_a_repeat_may_be_stamped_anew(ground: Ground) -> None:
    """Same id, type and content with another time is the same event."""
    body = event(event_id=fresh())
    first = ground.relay.post(body).fields
    again = ground.relay.post(body.replace(b"14:48:00", b"14:49:00")).fields
    assert (again["status"], again["delivery"], again["first"]) == ("duplicate", first["delivery"], "published")


def test_an_id_with_other_content_is_kept_and_not_published(ground: Ground) -> None:
    """The same id with another content is dead with `id_conflict`, kept once per body."""
    first = ground.relay.post(event(event_id=(name := fresh()))).fields
    body = event("Sales", event_id=name)
    conflict, again = ground.relay.post(body).fields, ground.relay.post(body).fields
    assert first["status"] == "published"
    assert (conflict["status"], conflict["reason"], conflict["records"]) == ("dead", "id_conflict", [])
    assert (again["status"], again["first"], again["delivery"]) == ("duplicate", "dead", conflict["delivery"])
    assert dead_letter(ground.folder, conflict["delivery"]) == ("dead", "id_conflict", body, signed(body)["Signature"])
    assert ids(ground.kafka, "app.provisioning-started").count(name) == 1


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("malformed", b'{"type": "ProvisioningStarted"}'),
        ("malformed", b"\x00\xff"),
        ("unroutable", event(kind="Unknown")),
        ("too_large", event("n" * 4000, kind="Small")),
    ],
)
def test_what_cannot_be_published_is_kept(ground: Ground, reason: str, body: bytes) -> None:
    """202 `dead`: body, signature and reason are in the spool's file, and the outcome is one line of the log."""
    answer = ground.relay.post(body)
    assert (answer.status, answer.fields["status"], answer.fields["reason"]) == (202, "dead", reason)
    number = answer.fields["delivery"]
    until(lambda: ground.relay.told("delivery.dead", delivery=number, reason=reason, answered="dead"))
    assert dead_letter(ground.folder, number) == ("dead", reason, body, signed(body)["Signature"])
    assert ground.relay.metric("relay_deliveries_dead_total", source="contoso", reason=reason) >= 1


def test_what_cannot_be_published_does_not_block_those_behind(ground: Ground) -> None:
    """A record too large for its topic is buried; the next one of the same lane and key is published."""
    with ThreadPoolExecutor(20) as pool:
        bodies = [event("n" * (4000 if number % 2 else 10), kind="Small") for number in range(20)]
        answers = list(pool.map(ground.relay.post, bodies))
    assert [answer.fields["status"] for answer in answers] == ["published", "dead"] * 10


def test_sources_have_their_own_keys_zones_and_uris(ground: Ground) -> None:
    """A key is good for its own source; the zone is that of its Syskit Point; subscribers read its URI."""
    body = event(kind="ProvisioningCompleted", event_id=(name := fresh()))
    assert ground.relay.post(body, target="/f", key=KEY).status == 401
    assert ground.relay.post(body, target=PATH, key=OTHER_KEY).status == 401
    assert ground.relay.post(body, target="/f", key=OTHER_KEY).fields["status"] == "published"
    assert ground.relay.post(body).fields["status"] == "published", "the same id of another source is another event"
    there = [each for each in envelopes(ground.kafka, "app.provisioning-completed") if each["id"] == name]
    assert sorted((each["source"], each["time"]) for each in there) == [
        ("https://point.example/f", "2023-10-05T12:48:00Z"),
        ("urn:syskit-point:contoso", "2023-10-05T14:48:00Z"),
    ]


def test_a_forgery_leaves_nothing_behind(ground: Ground) -> None:
    """What nobody signed is neither in the spool nor in Kafka, though it is well formed."""
    ground.relay.post(event())
    before = ground.relay.metric("relay_deliveries_accepted_total")
    forged = event(event_id=(name := fresh()))
    assert ground.relay.post(forged, key="a key that nobody gave me").status == 401
    assert ground.relay.post(forged, headers={}).status == 401
    ground.relay.settle()
    assert ground.relay.metric("relay_deliveries_accepted_total") == before
    assert name.encode() not in b"".join(file.read_bytes() for file in ground.folder.glob("spool.db*"))
    assert name not in ids(ground.kafka, "app.provisioning-started")


def test_keys_rotate(ground: Ground) -> None:
    """While two keys are listed, either signs."""
    assert ground.relay.post(event(), key=KEY).status == 202
    assert ground.relay.post(event(), key=NEW_KEY).status == 202
    assert ground.relay.post(event(), key=OTHER_KEY).status == 401


def test_the_content_may_be_what_is_signed(ground: Ground) -> None:
    """`signs: content`: a signature over the content passes, and a repeat is recognised by the content alone."""
    body = event(f"team {fresh()}", event_id=fresh())
    headers = {"Signature": sign(KEY.encode(), message_of(Signs.CONTENT, body)), "Algorithm": "HMACSHA256"}
    first = ground.relay.post(body, target="/c", headers=headers).fields
    other = body.replace(b"2023-10-05", b"2024-10-05")
    assert first["status"] == "published"
    assert ground.relay.post(other, target="/c", headers=headers).fields["status"] == "duplicate"
    assert ground.relay.told("source.unauthenticated_fields", source="content", level="warning")


def _detailed(ground: Ground) -> list[dict[str, object]]:
    return [line for line in ground.relay.told("delivery.rejected", source="content") if line.get("detail")]


def test_the_other_reading_is_told(ground: Ground) -> None:
    """A refused signature that fits the other setting of `signs` says so in the log, by name, and is counted."""
    body = event()
    until(
        lambda: ground.relay.post(body, target="/c").status == 401 and ground.relay.metric("relay_other_reading_total")
    )
    detailed = partial(_detailed, ground)
    until(detailed)  # the doctor has its look before the line is written
    (line, *_) = detailed()
    assert line["detail"] == "the signature fits the body: set sources.content.signs to body"


def test_a_delivery_goes_where_each_rule_says(ground: Ground) -> None:
    """`continue` goes on to the next rule: one receipt with a record for each topic."""
    answer = ground.relay.post(event(kind="ProvisioningFailed"))
    assert answer.fields["status"] == "published"
    assert {record.topic for record in answer.records} == {"app.failed", "app.provisioning-failed"}


def test_an_outcome_is_one_line(ground: Ground) -> None:
    """The log has one line for what became of a delivery, with everything by which it can be found."""
    answer = ground.relay.post(event(kind="ProvisioningFailed", event_id=(name := fresh())))
    until(lambda: ground.relay.told("delivery.published", id=name))
    (line,) = [line for event in SETTLED for line in ground.relay.told(f"delivery.{event}", id=name)]
    assert float(str(line.pop("duration_ms"))) > 0
    assert line.pop("timestamp")
    assert line.pop("records") == [msgspec.to_builtins(record) for record in answer.records]
    assert line == {
        "level": "info",
        "event": "delivery.published",
        "source": "contoso",
        "delivery": answer.fields["delivery"],
        "id": name,
        "type": "ProvisioningFailed",
        "routes": ["failed", "known"],
        "answered": "published",
    }


def test_a_drop_is_told_by_the_name_of_its_rule(ground: Ground) -> None:
    """A dropped delivery is logged and counted with the rule that dropped it."""
    answer = ground.relay.post(event(kind="Heartbeat")).fields
    assert answer["status"] == "dropped"
    assert ground.relay.told("delivery.dropped", delivery=answer["delivery"], route="silence")
    assert ground.relay.metric("relay_deliveries_dropped_total", route="silence") >= 1


def test_nothing_secret_is_logged(ground: Ground) -> None:
    """No body, content, signature or key is anywhere in the log, whatever became of the delivery."""
    body, forged, broken = (event(f"5ecret5-{number}") for number in range(3))
    ground.relay.post(body)
    ground.relay.post(forged, key="a key that nobody gave me")
    ground.relay.post(broken[:-1])
    ground.relay.settle()
    text = ground.relay.text
    for secret in ("5ecret5", KEY, NEW_KEY, OTHER_KEY, *(signed(each)["Signature"] for each in (body, broken[:-1]))):
        assert secret not in text
        assert secret not in ground.relay.get("/metrics").body.decode()
        assert secret not in ground.relay.get("/readyz?verbose").body.decode()


def test_the_metrics_add_up(ground: Ground) -> None:
    """Conservation: accepted = published + dead + dropped + pending; duplicates and refusals are not accepted ones."""
    ground.relay.post(event())
    ground.relay.settle()
    counted = {
        word: ground.relay.metric(f"relay_deliveries_{word}_total") for word in ("accepted", "duplicate", *SETTLED)
    }
    assert counted["accepted"] == sum(counted[word] for word in SETTLED)
    assert all(len(ground.relay.told(f"delivery.{word}")) == counted[word] for word in ("duplicate", *SETTLED))


def test_readiness_has_its_rows(ground: Ground) -> None:
    """/readyz?verbose has one line for each thing that can be wrong; /livez asks nobody."""
    answer = ground.relay.get("/readyz?verbose")
    rows = answer.body.decode().splitlines()
    names = {row.split("] ")[1].partition(":")[0] for row in rows if row.startswith("[+] ")}
    assert answer.status == 200
    assert {"listener", "spool", "dead letters", "topics", "lane app.small"} <= names
    assert {f"source {name}" for name in ("contoso", "fabrikam", "content")} <= names
    assert ground.relay.get("/livez").status == 200
