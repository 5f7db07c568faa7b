"""The drill: what it finds, and a whole one on real Kafka."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient

from relay.cli.drilling import drill
from relay.core.gate import Gate
from relay.kafka import Written
from relay.sandbox import drill as sandbox
from relay.sandbox import ordeal
from relay.sandbox.drill import Plan, Report
from relay.sandbox.drilled import Orders, load
from relay.sandbox.failure import Failure
from relay.sandbox.ordeal import Blow, Ordeal
from relay.sandbox.verdict import Verdict
from relay.sandbox.volley import Due, Sent, Volley
from tests.running import RELAY, until
from tests.sandbox.configured import configured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.sandbox.patient import Patient
    from tests.kafka.cluster import Cluster

KEY = b"k"


def value(id_: str) -> bytes:
    """Give the record's value of a delivery."""
    return json.dumps({"specversion": "1.0", "id": id_, "source": "urn:s", "data": {}}).encode()


class Known:
    """What a volley knows: two deliveries of one workspace, acknowledged, and a third that was not."""

    forgeries_accepted = 0

    def __init__(self) -> None:
        """Note what was sent."""
        self.sent = {
            id_: Sent("w", place, (Due("t", KEY, hashlib.sha256(value(id_)).digest()),), acknowledged=id_ != "c")
            for place, id_ in enumerate("abc")
        }


def judged(*written: tuple[str, int, bytes, bytes]) -> dict[str, int]:
    """Judge records of (topic, offset, key, value), all of one partition."""
    verdict = Verdict(cast("Volley", Known()))
    for topic, offset, key, content in written:
        verdict.read(Written(topic, 0, offset, 0.0, key, content, ()))
    return dict(verdict.figures())


@pytest.mark.parametrize(
    ("ids", "figures"),
    [
        ("ab", {}),
        ("abc", {}),
        ("a", {"lost": 1}),
        ("abb", {"doubled": 1}),
        ("aba", {"doubled": 1}),
        ("ba", {"reordered": 1}),
        ("abx", {"forged": 1}),
    ],
)
def test_what_is_wrong_is_counted_by_its_kind(ids: str, figures: dict[str, int]) -> None:
    """Acknowledged is a subset of delivered, delivered of sent, each once, in order; what was refused may be there."""
    none = dict.fromkeys(("lost", "forged", "doubled", "reordered"), 0)
    assert judged(*(("t", place, KEY, value(id_)) for place, id_ in enumerate(ids))) == none | figures


@pytest.mark.parametrize(
    "record", [("t", 0, KEY, value("a") + b" "), ("t", 0, b"other", value("a")), ("u", 0, KEY, value("a"))]
)
def test_what_is_not_as_it_was_signed_is_forged(record: tuple[str, int, bytes, bytes]) -> None:
    """Another value, key or topic than the delivery gives is forged, and the delivery lost."""
    assert judged(record, ("t", 1, KEY, value("b"))) == {"lost": 1, "forged": 1, "doubled": 0, "reordered": 0}


def plan(path: Path, **changes: object) -> Plan:
    """Give a plan for a short drill by a configuration."""
    fields: dict[str, object] = {
        "config": path, "rate": 100, "seconds": 1, "seed": 1, "prefix": "drill-test.", "keep": False,
    }  # fmt: skip
    return Plan(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_drill_on_real_kafka_is_clean(kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault is dealt, nothing is lost, forged, doubled or reordered, and nothing of the user's is touched."""
    monkeypatch.setattr(ordeal, "FAULT", 1.0)
    monkeypatch.setattr(ordeal, "CALM", 0.3)
    blows: list[Blow] = []
    path = configured(tmp_path, kafka.bootstrap_servers, dead_letters={"topic": "users.dead"})
    report = sandbox.run(plan(path), lambda _: kafka.create_topic("drill-test.theirs"), blows.append)
    assert report.clean, report
    assert list(report.blows) == blows
    assert len(blows) == 7
    assert report.sent["acknowledged"] > 100
    assert report.seconds > 7, "seven faults of a second each"
    assert report.sent["refused"] > 0, "the spool was never full: nothing was proved of that"
    assert report.sent["forgeries"] > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["relay.yaml"]
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    assert [topic for topic in topics if topic.startswith(("drill-test.", "users."))] == ["drill-test.theirs"]


def test_rules_that_publish_nothing_are_told(kafka: Cluster, tmp_path: Path) -> None:
    """Where no delivery of the drill would become a record, it says so and begins nothing."""
    path = configured(tmp_path, kafka.bootstrap_servers, routes=[{"name": "none", "drop": True}])
    with pytest.raises(Failure, match="publish none of ProvisioningStarted"):
        sandbox.run(plan(path, prefix="unruled."), lambda _: None, lambda _: None)


def test_a_prefix_that_others_have_is_refused(kafka: Cluster, tmp_path: Path) -> None:
    """A topic that begins so may be anybody's: nothing is begun, and nothing deleted."""
    kafka.create_topic("drilled.theirs")
    path = configured(tmp_path, kafka.bootstrap_servers)
    with pytest.raises(Failure, match=r"the topic drilled\.theirs begins with drilled\. already"):
        sandbox.run(plan(path, prefix="drilled."), lambda _: pytest.fail("it began"), lambda _: None)
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    assert "drilled.theirs" in topics


@pytest.mark.parametrize("prefix", ["", "a b", ".."])
def test_a_prefix_that_is_none_is_usage(tmp_path: Path, prefix: str) -> None:
    """An empty one would begin every topic there is."""
    command = [RELAY, "drill", "--prefix", prefix, "-c", str(configured(tmp_path, "127.0.0.1:1"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "it begins the names of topics" in done.stderr) == (2, True)


def test_a_cluster_that_is_away_is_told(tmp_path: Path) -> None:
    """Without Kafka there is nothing to drill; the sentence names the address."""
    path = configured(tmp_path, "127.0.0.1:1")
    done = subprocess.run([RELAY, "drill", "-c", str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 70
    assert "Kafka does not answer at 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300.0), ("30s", 30.0), (None, 60.0)])
def test_its_time_is_a_duration(
    text: str | None, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the configuration, and as the documents write it."""
    asked: list[float] = []

    def note(plan: Plan, *_: object) -> Report:
        asked.append(plan.seconds)
        raise Failure("enough")

    monkeypatch.setattr(sandbox, "run", note)
    time = ["--time", text] if text else []
    done = CliRunner().invoke(drill, [*time, "-c", str(configured(tmp_path, "127.0.0.1:1"))])
    assert (asked, done.exit_code) == ([seconds], 70), done.output


def test_a_time_without_its_unit_is_usage(tmp_path: Path) -> None:
    """What would do is said."""
    done = CliRunner().invoke(drill, ["--time", "30", "-c", str(configured(tmp_path, "127.0.0.1:1"))])
    assert (done.exit_code, "with its unit" in done.output) == (2, True)


def test_nothing_is_asked_of_the_drill_beside_the_signature(tmp_path: Path) -> None:
    """Its deliveries come from this machine, to its own port, with a time of their own: only the key need fit."""
    gated = {
        "contoso": {"path": "/c", "keys": ["a-key-of-the-user"], "query": {"code": "5ecret5-5ecret5-5ecret5"},
                    "networks": ["198.51.100.0/24"], "max_age": "1h"},
    }  # fmt: skip
    listen = {"host": "127.0.0.1", "port": 0, "trusted_proxies": ["127.0.0.1"]}
    path = configured(tmp_path, "127.0.0.1:1", sources=gated, listen=listen)
    config = load(Orders(str(path), {}, "drill.", str(tmp_path / "own.db"), 4 << 20, 1234, 1235, "a-key-of-the-drill"))
    (source,) = config.sources
    assert (source.gate, source.max_age, config.listen.trusted_proxies) == (Gate(), None, ())


def test_what_went_wrong_in_several_ways_alike_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred senders that meet the same answer are one sentence."""

    async def fail(*_: object) -> None:
        raise ExceptionGroup("senders", [Failure("answered 401"), Failure("answered 401"), Failure("other")])

    monkeypatch.setattr(sandbox.Drill, "run", fail)
    with pytest.raises(Failure, match=r"\Aanswered 401; other\Z"):
        sandbox.run(plan(configured(tmp_path, "127.0.0.1:1")), lambda _: None, lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sigterm_breaks_it_off_and_leaves_nothing(kafka: Cluster, tmp_path: Path) -> None:
    """Its relay ends with it, and its folder and its topics are deleted; also of a shell that has SIGINT ignored."""
    config = str(configured(tmp_path, kafka.bootstrap_servers))
    command = [RELAY, "drill", "--time", "5m", "--prefix", "ended.", "-c", config]
    ignoring = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    mine = tmp_path / "temporary"
    mine.mkdir()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})

    def made() -> list[str]:
        return [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith("ended.")]

    with subprocess.Popen(
        [*ignoring, *command], env=os.environ | {"TMPDIR": str(mine)}, stderr=subprocess.PIPE, text=True
    ) as drill:
        until(lambda: len(made()) > 0, 60)
        children = Path(f"/proc/{drill.pid}/task/{drill.pid}/children").read_text().split()
        drill.terminate()
        _, said = drill.communicate(timeout=90)
    assert (drill.returncode, "broken off" in said) == (70, True), said
    assert children, "its relay did not run: nothing was proved"
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert list(mine.iterdir()) == []
    assert made() == []


def test_the_drill_has_everything_of_its_own(tmp_path: Path) -> None:
    """Spool, ports and topics are the drill's; keys, rules and limits are the user's."""
    path = configured(tmp_path, "127.0.0.1:1", ack={"after": "stored"}, dead_letters={"topic": "users.dead"}, kafka={
        "bootstrap_servers": ["127.0.0.1:1"], "topics": {"create": False, "partitions": 7},
    })  # fmt: skip
    config = load(Orders(str(path), {}, "drill.", str(tmp_path / "own.db"), 4 << 20, 1234, 1235, "a-key-of-the-drill"))
    assert (config.spool.path, config.spool.max_size) == (tmp_path / "own.db", 4 << 20)
    assert (config.listen.port, config.admin.port) == (1234, 1235)
    (route,) = config.routes
    assert [topic.source for topic in route.topics] == ["drill.users.{type}"]
    assert config.dead_letters.topic == "drill.users.dead"
    assert (config.kafka.topics.create, config.kafka.topics.partitions, config.ack.after) == (True, 7, "stored")


def test_what_strangers_wrote_is_told_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id in Kafka may hold what a terminal obeys; it is shown, and not obeyed."""
    told = ("unknown: \x1b[2J in t at 0/1",)
    report = Report((), (), dict.fromkeys(("sent", "acknowledged", "forgeries", "refused", "unanswered"), 0),
                    60.0, {"doubled": 0}, {"forged": told}, told, drained=True, judges_doubles=True)  # fmt: skip
    monkeypatch.setattr(sandbox, "run", lambda *_: report)
    done = CliRunner().invoke(drill, ["-c", str(configured(tmp_path, "127.0.0.1:1"))])
    assert "\x1b" not in done.output
    assert done.output.count(r"unknown: \x1b[2J in t at 0/1") == 2


def test_the_drill_leaves_syskit_point_alone(tmp_path: Path) -> None:
    """A source that fetches its key does not while it is drilled, nor registers itself, and has a key all the same."""
    point = {
        "url": "https://point.contoso.com",
        "tenant": "contoso.onmicrosoft.com",
        "client_id": "5c1d9a6e-3f2b-4a77-9f0e-2b6f1f3f6c01",
        "client_secret": "${SECRET}",
        "scope": "api/.default",
        "register": {"endpoint": "https://relay.contoso.com/webhooks/contoso"},
    }
    path = configured(tmp_path, "127.0.0.1:1", sources={"contoso": {"path": "/webhooks/contoso", "point": point}})
    orders = Orders(str(path), {"SECRET": "hunter2"}, "drill.", "spool.db", 4 << 20, 1234, 1235, "a-key-of-the-drill")
    config = load(orders)
    assert config.points == {}
    assert [key.secret for key in config.sources[0].keys] == [b"a-key-of-the-drill"]


class Well:
    """A relay that recovers as it is told."""

    def __init__(self, recovery: Sequence[float | None]) -> None:
        """Recover in so many seconds, one after the other."""
        self._recovery = list(recovery)

    def kill(self) -> None:
        """Do nothing."""

    def start(self) -> None:
        """Do nothing."""

    async def recovered(self, _since: float, _patience: float) -> float | None:
        """Give the next time."""
        return self._recovery.pop(0)


class Full:
    """A volley that fills any spool."""

    async def fill(self) -> bool:
        """Say that it is full."""
        return True


async def test_a_relay_that_does_not_recover_ends_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is named, nothing more is dealt, and the report is not clean."""
    monkeypatch.setattr(ordeal, "FAULT", 0.0)
    monkeypatch.setattr(ordeal, "CALM", 0.0)
    dealer = Ordeal(cast("Patient", Well([0.5, 2.0, None])), cast("Volley", Full()), {}, (), None, Random(1))
    blows = await dealer.run(0, lambda _: None)
    assert [blow.recovery for blow in blows] == [0.5, 2.0, None]
    report = Report((), blows, {}, 60.0, {"lost": 0}, {}, (), drained=True, judges_doubles=True)
    assert (report.longest_recovery, report.clean) == (None, False)


@pytest.mark.parametrize(
    ("changes", "clean"),
    [
        ({}, True),
        ({"figures": {"lost": 1}}, False),
        ({"figures": {"doubled": 1}}, False),
        ({"figures": {"doubled": 1}, "judges_doubles": False}, True),
        ({"audit": ("missing: a",)}, False),
        ({"drained": False}, False),
    ],
)
def test_a_report_is_clean_only_when_all_is_well(changes: dict[str, object], clean: bool) -> None:
    """Anything lost, forged, doubled or reordered, that does not add up or is stuck, is the exit code."""
    fields: dict[str, object] = {
        "brokers": (), "blows": (Blow("f", 1, 1, 0.5),), "sent": {}, "seconds": 60.0, "figures": {"lost": 0},
        "complaints": {}, "audit": (), "drained": True, "judges_doubles": True,
    }  # fmt: skip
    assert Report(**(fields | changes)).clean is clean  # type: ignore[arg-type]
