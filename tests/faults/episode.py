"""Episode: one fault, struck at a relay of its own under load on the shared brokers, and what came of it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay.sandbox.proxy import Proxy
from tests.faults import machine, network, processes, topics
from tests.faults.scene import Scene
from tests.kafka.admin import Admin
from tests.kafka.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from tests.faults.fault import Fault
    from tests.faults.oracle import Finding

FAULTS = {fault.name: fault for fault in (*processes.FAULTS, *machine.FAULTS, *topics.FAULTS, *network.FAULTS)}
RATE = 150.0  # deliveries a second, at most
WARM = 100  # deliveries accepted before the fault
AFTER = 50  # and after it
START = 180.0  # seconds until brokers have not started; without them the run is over


class Ground:
    """Three brokers with access rules, for one episode after the other. A context manager starts and ends them."""

    def __init__(self, evidence: Path | None = None) -> None:
        """Nothing runs yet; `evidence` is a folder for what an episode leaves that is not clean."""
        self._evidence = evidence
        self._prepare()

    def renew(self) -> None:
        """Put other brokers in place of these, whatever state they are in."""
        self.cluster.stop()
        self._prepare()
        self.cluster.start(START)

    def play(self, fault: Fault, seed: int, rate: float = RATE, strikes: int = 1) -> Finding:
        """Strike so many times, and give the finding of it all; the brokers are whole again afterwards.

        Raises `TimeoutError` or `AssertionError` when the relay does not recover.
        """
        name = f"{fault.name.replace(' + ', '-').replace(' ', '-')}-{uuid.uuid4()}"
        with tempfile.TemporaryDirectory(prefix="faults-") as made, self._mended(), ExitStack() as stack:
            folder = Path(made)
            environment = stack.enter_context(fault.stage(folder))
            keeping = stack.enter_context(ExitStack())
            keeping.callback(self._keep, folder, name)
            proxies = [
                stack.enter_context(Proxy("127.0.0.1", behind, listen=door))
                for door, behind in (self.cluster.doors if fault.by_door else ())
            ]
            scene = Scene(
                self.cluster, self.admin, folder, name=name, seed=seed, rate=rate, proxies=proxies,
                environment=environment, **fault.sections,
            )  # fmt: skip
            with scene:
                recovery = 0.0
                for _ in range(strikes):
                    scene.run_until_more(WARM)
                    fault.strike(scene)
                    recovery = max(recovery, scene.recover())
                scene.run_until_more(AFTER)
                finding = scene.judge(recovery)
            if finding.clean:
                keeping.pop_all()
        return finding

    def _prepare(self) -> None:
        self.cluster = Cluster(3, brief=True, guarded=True, doors=True)
        self.admin = Admin(self.cluster.bootstrap_servers)

    def _keep(self, folder: Path, name: str) -> None:
        """Keep what the relay leaves behind of an episode."""
        if self._evidence:
            shutil.copytree(folder, self._evidence / name, ignore=shutil.ignore_patterns("hog", "*.so"))

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """Make the brokers whole again, whatever was done to them."""
        try:
            yield
        finally:
            self.cluster.mend()
            self.admin.wait_until_whole()

    def __enter__(self) -> Self:
        self.cluster.start(START)
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.stop()
