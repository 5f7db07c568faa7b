"""What is asked of a client beside its signature, over real sockets, of a relay that does without Kafka."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Refusal, Rejected
from relay.core.model import Signs
from relay.core.signature import sign
from relay.ingest import Headers, Ingest
from relay.keys import Keys
from relay.metrics import Metrics
from relay.sandbox.ports import free_ports
from relay.server.door import FAILURES_AT_ONCE
from tests.cli.typed import relay
from tests.config.small import read
from tests.core.samples import SOURCE
from tests.running import KEY, PATH, Running, event, request, settings, signed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = "5ecret5-5ecret5-5ecret5"
SOURCES = {
    "contoso": {"path": PATH, "keys": [KEY]},
    "coded": {"path": "/coded", "keys": [KEY], "query": {"code": CODE}},
    "near": {"path": "/near", "keys": [KEY], "networks": ["198.51.100.0/24", "2001:db8::/32"]},
    "strict": {"path": "/strict", "keys": [KEY], "max_age": "5m"},
}


def configuration(folder: Path, **listen: object) -> dict[str, object]:
    """Give a configuration with every gate, for a relay that only stores."""
    port, admin_port = free_ports(2)
    return settings(
        "127.0.0.1:9", folder, "t", sources=SOURCES, listen={"host": "127.0.0.1", "port": port, **listen},
        admin={"port": admin_port}, ack={"after": "stored"}, stop={"timeout": "0s"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay behind a proxy on this machine, which it trusts."""
    folder = tmp_path_factory.mktemp("door")
    with Running(folder, configuration(folder, trusted_proxies=["127.0.0.1"])) as process:
        yield process


def came_from(client: str, body: bytes, key: str = KEY) -> dict[str, str]:
    """Give the headers of a delivery as a proxy hands it on."""
    return {**signed(body, key), "X-Forwarded-For": client}


@pytest.mark.parametrize(
    "query", ["", "?", "?code=", f"?code={CODE}x", f"?code={CODE}&code={CODE}", f"?Code={CODE}", "?code=%ff%00"]
)
def test_a_wrong_query_is_the_uniform_401(running: Running, query: str) -> None:
    """To the byte what a wrong signature gets, although the signature is right; nothing is stored."""
    before = running.metric("relay_deliveries_rejected_total", source="coded", reason="bad_query")
    body = event()
    wrong = running.post(body, target=f"/coded{query}", headers=came_from("203.0.113.1", body))
    forged = running.post(body, headers=came_from("203.0.113.1", body, "a key that nobody gave me"))
    assert wrong.status == 401
    assert (wrong.body, wrong.headers | {"date": ""}) == (forged.body, forged.headers | {"date": ""})
    assert running.metric("relay_deliveries_rejected_total", source="coded", reason="bad_query") == before + 1


def test_the_right_query_is_let_in_and_not_told(running: Running) -> None:
    """With the secret, escaped or not, and whatever else is there: 202; the secret alone is worth nothing."""
    for target in (f"/coded?code={CODE}", f"/coded?a=b&code={CODE.replace('-', '%2D')}#c"):
        assert running.post(event(), target=target).status == 202
    body = event()
    forged = came_from("203.0.113.2", body, "a key that nobody gave me")
    assert running.post(body, target=f"/coded?code={CODE}", headers=forged).status == 401
    until(lambda: running.told("delivery.rejected", source="coded", reason="bad_signature"))
    assert CODE not in running.text
    assert CODE not in relay("rejected", "list", "--json", "-c", str(running.config)).stdout


def test_a_wrong_query_is_answered_before_the_body_is_read(running: Running) -> None:
    """Who has not the secret does not even get a body in."""
    head = f"POST /coded HTTP/1.1\r\nHost: r\r\nContent-Length: 1000\r\nSignature: {sign(b'k', b'')}\r\n\r\n"
    with running.wire() as wire:
        assert wire.ask(head.encode()).status == 401


def test_the_senders_own_tool_knows_the_secret(running: Running) -> None:
    """`relay send` posts to the URL as it is registered."""
    file = running.folder / "event.json"
    file.write_bytes(event())
    done = relay("send", str(file), "--source", "coded", "-c", str(running.config))
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "stored"), done.stderr


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("198.51.100.9", 202),
        ("::ffff:198.51.100.9", 202),
        ("[2001:db8::9]:4711", 202),
        ("127.0.0.1, 198.51.100.9", 202),
        ("203.0.113.9", 403),
        ("198.51.100.9, 203.0.113.9", 403),  # what stands left the client wrote itself
        ("198.51.100.9\r\nX-Forwarded-For: 203.0.113.9", 403),
        ("198.51.100.9, nonsense", 403),
        ("", 403),
    ],
)
def test_networks_are_of_the_client(running: Running, forwarded: str, status: int) -> None:
    """403 for whoever is elsewhere, though the signature is right; the proxy's word counts, the client's does not."""
    body = event()
    assert running.post(body, target="/near", headers=came_from(forwarded, body)).status == status


def test_nobody_is_believed_who_is_no_trusted_proxy(tmp_path: Path) -> None:
    """Without trusted proxies the client is who connects, whatever the header says."""
    with Running(tmp_path, configuration(tmp_path)) as process:
        body = event()
        assert process.post(body, target="/near", headers=came_from("198.51.100.9", body)).status == 403
        assert process.post(event()).status == 202


def test_who_forges_too_much_is_throttled_and_nobody_else(running: Running) -> None:
    """429, without a line; an authentic delivery of the same network is accepted, and another network is let be."""
    before = running.metric("relay_deliveries_rejected_total", reason="throttled")
    body = event()
    forged = request(body, came_from("192.0.2.1", body, "a key that nobody gave me"))
    unsigned = request(body, {"X-Forwarded-For": "192.0.2.2"})
    statuses: list[int] = []
    with running.wire() as wire:
        while len(statuses) < 50 * FAILURES_AT_ONCE and 429 not in statuses:
            statuses.append(wire.ask(forged).status)
        answer = wire.ask(unsigned)
        for _ in range(20):
            good = event()
            assert wire.ask(request(good, came_from("192.0.2.3", good))).status == 202
        assert wire.ask(request(body, came_from("192.0.3.1", body, "a key that nobody gave me"))).status == 401
    assert set(statuses) == {401, 429}
    assert len(statuses) > FAILURES_AT_ONCE
    assert answer.status in {401, 429}
    assert running.metric("relay_deliveries_rejected_total", reason="throttled") > before
    assert not running.told("delivery.rejected", reason="throttled")


async def test_who_is_throttled_costs_no_second_look(tmp_path: Path) -> None:
    """The other reading is not tried for one whose network has failed too often."""
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    config = read(tmp_path / "c.yaml")
    ingest = Ingest(config, None, None, None, Keys(config, metrics), metrics)  # type: ignore[arg-type]  # none is reached
    body = b'{"content":1}'
    fits_content = [sign(SOURCE.keys[0].secret, b"1")]
    assert SOURCE.signs is Signs.BODY
    for may_misfit, refusal, looks in ((False, Refusal.THROTTLED, 0), (True, Refusal.BAD_SIGNATURE, 1)):
        with pytest.raises(Rejected) as caught:
            await ingest.receive(SOURCE, Headers(fits_content, (), None, lambda may=may_misfit: may), body)  # type: ignore[misc]
        assert caught.value.refusal is refusal
        assert f'relay_other_reading_total{{source="contoso"}} {looks}.0' in metrics.render().decode()


def test_what_is_stale_is_kept_and_may_be_replayed(running: Running) -> None:
    """202 `dead`, `stale`; a repeat is a duplicate; an operator's replay goes through the rules of today."""
    body = event(event_id="old")
    answer = running.post(body, target="/strict")
    assert (answer.status, answer.fields["status"], answer.fields["reason"]) == (202, "dead", "stale")
    assert running.post(body, target="/strict").fields["status"] == "duplicate"
    assert running.metric("relay_deliveries_dead_total", source="strict", reason="stale") == 1
    number = str(answer.fields["delivery"])
    explained = relay("explain", number, "-c", str(running.config))
    assert explained.returncode == 1
    assert "stale" in explained.stdout
    done = relay("deliveries", "replay", number, "--yes", "--json", "-c", str(running.config))
    assert done.returncode == 0, done.stderr
    replayed = json.loads(done.stdout)
    assert replayed["topics"] == ["t"]
    shown = relay("explain", str(replayed["replay"]), "-c", str(running.config))
    assert "stale" not in shown.stdout


def test_a_young_one_is_stored(running: Running) -> None:
    """What says that it is of now is on its way."""
    fields = json.loads(event())
    fields["meta"]["timeStamp"] = datetime.now(UTC).isoformat(timespec="seconds")[:19]
    assert running.post(json.dumps(fields).encode(), target="/strict").fields["status"] == "stored"
