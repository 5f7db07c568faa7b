"""Scene: one relay with its own spool and topics on the shared brokers, its load and its subscriber."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from confluent_kafka import KafkaException

from tests.faults.auditor import audited
from tests.faults.load import KEYS, KINDS, Load
from tests.faults.oracle import Evidence, Excused, Finding, judge, rows_of
from tests.faults.subscriber import Subscriber
from tests.running import Running, settings, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from relay.sandbox.proxy import Proxy
    from tests.kafka.admin import Admin
    from tests.kafka.cluster import Cluster

PARTITIONS = 3
NAMES = (*KEYS, "failed")
OTHERS = 50
PATIENCE = 120.0  # seconds for anything that has to come true in the end
KAFKA = {"request_timeout": "3s", "topics": {"create": False}}


class Scene:
    """What a fault has before it: brokers, a relay under load, and everything to judge it by.

    `chance` decides what is left to chance, so that an episode can be repeated by its seed. A context
    manager makes the topics, starts all, and ends all.
    """

    def __init__(
        self,
        cluster: Cluster,
        admin: Admin,
        folder: Path,
        *,
        name: str,
        seed: int,
        rate: float,
        proxies: Sequence[Proxy] = (),
        environment: Mapping[str, str] | None = None,
        **sections: object,
    ) -> None:
        """Prepare; `name` begins the topics' names, `sections` go over the relay's configuration.

        With `proxies` the relay reaches the brokers through them alone. `environment` goes over the relay's.
        """
        self.cluster, self.admin, self.proxies = cluster, admin, proxies
        self.chance = random.Random(seed)
        self.topics: Mapping[str, str] = {short: f"{name}.{short}" for short in NAMES}
        self.excused = Excused()
        self.folder, self._environment = folder, environment or {}
        self.spool = folder / "disk" / "spool.db"
        sources = {source: {"path": f"/webhooks/{source}", "keys": [key]} for source, key in KEYS.items()}
        servers = [proxy.address for proxy in proxies] or [cluster.bootstrap_servers]
        kafka = {"bootstrap_servers": servers, **KAFKA, **sections.pop("kafka", {})}  # type: ignore[dict-item] # a section
        configuration = settings(
            "", folder, "",
            **{
                "routes": self.rules(), "sources": sources, "kafka": kafka, "ack": {"timeout": "1s"},
                "spool": {"path": str(self.spool), **sections.pop("spool", {})}, **sections,  # type: ignore[dict-item]
            },
        )  # fmt: skip
        self.relay = Running(folder, configuration, environment)
        self.load = Load(self.relay, self.topics, rate, seed)
        self._subscriber: Subscriber | None = None

    @property
    def subscriber(self) -> Subscriber:
        """Who reads all along."""
        assert self._subscriber
        return self._subscriber

    def rules(self, *, split: bool = False, name: str = "to") -> list[dict[str, object]]:
        """Give the rules by which deliveries go to the topics that are expected; `split` ones say the same in more."""
        kinds = [{"type": kind} for kind in KINDS] if split else [{}]
        matches = [{"source": source, **kind} for source in KEYS for kind in kinds]
        failed = {"match": {"type": "ProvisioningFailed"}, "topics": [self.topics["failed"]], "continue": True}
        rules: list[dict[str, object]] = [{"name": "failed", **failed}]
        for number, match in enumerate(matches):
            rules.append({"name": f"{name}-{number}", "match": match, "topics": [self.topics[match["source"]]]})
        return rules

    def run_for(self, seconds: float) -> None:
        """Let the load go on as it is."""
        time.sleep(seconds)

    def run_until_more(self, count: int) -> None:
        """Let the load go on until so many more deliveries were accepted."""
        enough = len(self.load.answered) + count
        until(lambda: len(self.load.answered) >= enough, PATIENCE)

    def wait_until_held(self, short: str, why: str = "") -> None:
        """Let the load go on until the relay says that the lane of a topic is in trouble, and `why`."""
        until(lambda: self._is_held(self.topics[short], why), PATIENCE)

    def wait_until_others_go_on(self, held: str) -> None:
        """Let the load go on until so many deliveries of another source, sent from now on, are in its own topic."""
        (other,) = KEYS.keys() - {held}
        before = set(self.load.sent)
        until(lambda: len(self.subscriber.found[self.topics[other]] - before) >= OTHERS, PATIENCE)

    def recover(self) -> float:
        """Wait until all that has been accepted by now was read; give the seconds that took."""
        started = time.monotonic()
        owed = [(topic, one) for one in tuple(self.load.answered) for topic in self.load.sent[one].topics]
        while owed := [(topic, one) for topic, one in owed if not self._is_out(topic, one)]:
            if time.monotonic() - started > PATIENCE:
                raise TimeoutError(
                    f"{len(owed)} records were not read, as {owed[:3]}; {self.subscriber.state}; {self._rows()}"
                )
            time.sleep(0.05)
        return time.monotonic() - started

    def judge(self, recovery: float) -> Finding:
        """End the load, let the relay publish all it has, stop it, and compare."""
        self.load.stop(PATIENCE)
        until(lambda: self.relay.metric("relay_deliveries_pending") == 0, PATIENCE)
        doubts = self.relay.metric("relay_possible_duplicates_total")
        assert self.relay.stop() == 0
        self.subscriber.read_up(PATIENCE)
        evidence = Evidence(
            self.load.sent, self.load.answered, self.subscriber.reads, rows_of(self.spool), self.excused
        )
        finding = judge(evidence)
        finding.recovery, finding.kills = recovery, self.relay.kills
        finding.faults += self.load.wrong + self.subscriber.faults
        finding.faults += audited(self.relay.config, self._environment, self.excused)
        if finding.again > doubts or (doubts and not self.excused.doubts):
            finding.faults.append(f"{doubts:.0f} possible duplicates")
        return finding

    def _is_out(self, topic: str, event_id: str) -> bool:
        """Tell whether a record was read, or never will be for a reason that is excused."""
        if event_id in self.subscriber.found[topic] or event_id in self.excused.destroyed.get(topic, ()):
            return True
        return bool(self.excused.dead) and self.load.sent[event_id].large

    def _is_held(self, topic: str, why: str) -> bool:
        """Tell whether the relay says so; one that is just started again says nothing."""
        try:
            rows = self._rows().splitlines()
        except OSError:
            return False
        return any(row.startswith(f"[!] lane {topic}: ") and why in row for row in rows)

    def _rows(self) -> str:
        """Give what the relay says of its lanes."""
        return self.relay.get("/readyz?verbose").body.decode()

    def __enter__(self) -> Self:
        for topic in self.topics.values():
            self.cluster.create_topic(topic, PARTITIONS)
        self._subscriber = Subscriber(self.cluster.bootstrap_servers, self.topics.values())
        try:
            self.relay.__enter__()
            self.load.start()
        except BaseException:
            self.__exit__(None)
            raise
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                with suppress(KafkaException):  # only tidy: the verdict is there, and the names are used once
                    for topic in self.topics.values():
                        self.admin.delete(topic)
        finally:
            self.load.abort()
            self.subscriber.close()
            self.relay.__exit__(kind, *rest)
