"""A cluster of real Kafka brokers on loopback, and what can happen to them."""

from __future__ import annotations

import random
import shutil
import socket
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.kafka.broker import Broker
from tests.kafka.properties import added_listener, properties_of
from tests.kafka.properties import guarded as with_guards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.kafka.locks import Locks

# Below the range from which the system takes ports for outgoing connections, else one of those could take a
# broker's port while it is down.
_PORTS = range(20_000, 32_000)


class Cluster:
    """Brokers with node ids from 1, PLAINTEXT on 127.0.0.1, with the guarantees that the relay builds on.

    Topics are never created by being used; they get three partitions, a replica on each broker, and of three
    replicas two must have a record before it is acknowledged. `config` overrides any setting of all brokers.
    `ports` are for the first brokers, the others get free ones. Blocking, and not safe for use by two threads; from
    a coroutine call it in a thread. A context manager starts and stops it.

    `brief` brokers start in half the time and are slower after that. `guarded` ones have access rules. With `doors`
    each broker has a listener more that tells clients to come to a port where something stands before it. `locks` add
    listeners that want TLS or a login, to a cluster of one broker.
    """

    def __init__(
        self,
        brokers: int = 1,
        config: Mapping[str, str] | None = None,
        *,
        ports: Sequence[int] = (),
        brief: bool = False,
        guarded: bool = False,
        doors: bool = False,
        locks: Locks | None = None,
    ) -> None:
        """Say what the cluster is to be; nothing runs yet."""
        self._config = dict(config or {})
        self._brief = brief
        self._locks = locks
        free = iter(free_ports(5 * brokers))
        self._ports = [*ports, *islice(free, brokers - len(ports))]
        self._controllers = list(islice(free, brokers))
        self._guards = list(islice(free, brokers if guarded else 0))
        self._behind, self._doors = (list(islice(free, brokers if doors else 0)) for _ in range(2))
        self._folder: Path | None = None
        self._brokers: dict[int, Broker] = {}

    @property
    def bootstrap_servers(self) -> str:
        """Give all brokers as `host:port`, separated by commas, also those that are down."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def doors(self) -> Sequence[tuple[int, int]]:
        """Give for each broker the port to which its door sends clients, and the port behind it."""
        return list(zip(self._doors, self._behind, strict=True))

    @property
    def nodes(self) -> tuple[int, ...]:
        """Give the node ids, in order."""
        return tuple(range(1, len(self._ports) + 1))

    def start(self, patience: float = 60.0) -> None:
        """Format and start all brokers; return when each knows all of them.

        Raises `NotInstalledError` without Java or Maven, and `RuntimeError` with the end of a log when `patience`
        seconds were not enough.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        try:
            for node, port in zip(self.nodes, self._ports, strict=True):
                self._brokers[node] = Broker(
                    node, port, self._folder / str(node), self._properties(node), brief=self._brief
                )
            self._format()
            for broker in self._brokers.values():
                broker.start()
            for broker in self._brokers.values():
                broker.wait_until_known(frozenset(self.nodes), time.monotonic() + patience)
        except BaseException:
            self._destroy()
            raise

    def stop(self, node: int | None = None) -> None:
        """Stop one broker in order and keep its data, or end the whole cluster at once and remove its data."""
        if node is None:
            self._destroy()
        else:
            self._brokers[node].stop()

    def kill(self, node: int) -> None:
        """End a broker at once; its data stay."""
        self._brokers[node].kill()

    def restart(self, node: int, patience: float = 60.0) -> None:
        """Start a broker again on its port with its data, stopping it in order when it runs; return when it serves.

        Partitions it leads may need a moment more. With most controllers down it cannot serve: `start_again` first.
        """
        self.start_again(node)
        self.wait_until_known(node, patience)

    def wait_until_known(self, node: int, patience: float = 60.0) -> None:
        """Wait until a broker that was started serves."""
        self._brokers[node].wait_until_known(frozenset({node}), time.monotonic() + patience)

    def start_again(self, node: int) -> None:
        """Do as `restart`, without waiting until it serves."""
        self._brokers[node].stop()
        self._brokers[node].start()

    def mend(self) -> None:
        """Let every broker go on that is frozen, and start every one that does not run."""
        down = [node for node, broker in self._brokers.items() if not broker.runs]
        for node in down:
            self.start_again(node)
        for node in self._brokers.keys() - set(down):
            self.resume(node)
        for node in down:
            self.wait_until_known(node)

    def pause(self, node: int) -> None:
        """Freeze a broker: its connections stay open, and nothing answers."""
        self._brokers[node].pause()

    def resume(self, node: int) -> None:
        """Let a paused broker go on."""
        self._brokers[node].resume()

    def controller(self) -> int:
        """Give the node that was elected controller last; it may be down."""
        return max(self._brokers.values(), key=lambda broker: broker.reigns()).node

    def create_topic(self, name: str, partitions: int = 3, config: Mapping[str, str] | None = None) -> None:
        """Create a topic with a replica on each broker; return when the controller has it.

        Raises `confluent_kafka.KafkaException` when it exists, or cannot be.
        """
        topic = NewTopic(name, partitions, len(self.nodes), config=dict(config or {}))
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        for created in client.create_topics([topic], operation_timeout=15.0).values():
            created.result()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _format(self) -> None:
        for broker, formatting in [(broker, broker.format()) for broker in self._brokers.values()]:
            if formatting.wait():
                raise RuntimeError(f"broker {broker.node} was not formatted:\n{broker.log_end()}")

    def _destroy(self) -> None:
        for broker in self._brokers.values():
            broker.kill()
        self._brokers.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _properties(self, node: int) -> dict[str, str]:
        properties = properties_of(node, self._ports, self._controllers)
        if self._guards:
            properties = with_guards(properties, self._guards[node - 1])
        if self._doors:
            properties = added_listener(properties, "DOOR", "PLAINTEXT", self._behind[node - 1], self._doors[node - 1])
        if self._locks:
            properties = self._locks.on(properties)
        return {**properties, **self._config}


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on, and that no outgoing connection gets."""
    free: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise RuntimeError("no free ports")
