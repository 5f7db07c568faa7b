"""Faults of the machine the relay runs on: its disk, its clock, and whoever changes its rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.fault import Fault, plain
from tests.faults.network import through
from tests.faults.oracle import rows_of
from tests.running import until
from tests.small_disk import crowd, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tests.faults.scene import Scene

DISK_BYTES = 96 << 20
CLOCK = Path(__file__).parents[1] / "clock"
FAILING = Path(__file__).with_name("failing_fsync.c")
SMALL = {
    "listen": {"host": "127.0.0.1", "port": 0, "max_body": "64KiB"},
    "spool": {"max_size": "2MiB"},
    "ack": {"after": "stored"},
}
STEP = 3000.0  # seconds; Kafka refuses a record from more than an hour ahead
PATIENCE = 60.0
WAITING = 40  # deliveries


@contextmanager
def on_small_disk(folder: Path) -> Iterator[Mapping[str, str]]:
    """Let the spool's disk be a small filesystem of its own."""
    with small_disk(folder / "disk", DISK_BYTES):
        yield {}


@contextmanager
def with_clock(folder: Path) -> Iterator[Mapping[str, str]]:
    """Let the relay's clock be one that can be set."""
    with plain(folder):
        _set(folder, "0")
        yield {"PYTHONPATH": str(CLOCK), "TEST_CLOCK": str(folder / "clock")}


@contextmanager
def with_failing_fsync(folder: Path) -> Iterator[Mapping[str, str]]:
    """Let the relay's fsync be one that can fail."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("an fsync that fails needs a C compiler")
    library = folder / "failing_fsync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, FAILING, "-ldl"], check=True, timeout=60)
    with plain(folder):
        yield {"LD_PRELOAD": str(library), "TEST_FSYNC": str(folder / "fsync")}


def fill_disk(scene: Scene) -> None:
    """While Kafka is away somebody else fills the disk to its last byte, and goes only when what waited is settled."""
    with ExitStack() as stack:
        with through(scene, lambda proxy: proxy.freeze()):
            scene.run_until_more(WAITING)
            full_since = _crowd(scene, stack)
            owed = _pending(scene)
            assert len(owed) >= WAITING / 2, "nothing waited for Kafka: nothing is proved"
        _wait_until_refused(scene, full_since)
        owed |= _pending(scene)
        scene.recover()
        until(lambda: not _pending(scene) & owed, PATIENCE)


def crowd_disk(scene: Scene) -> None:
    """Somebody else fills the disk to its last byte for a while."""
    with ExitStack() as stack:
        _wait_until_refused(scene, _crowd(scene, stack))
        scene.run_for(scene.chance.uniform(0, 3))


def _crowd(scene: Scene, stack: ExitStack) -> float:
    """Fill the disk, and give since when it is full; the stack empties it again."""
    scene.excused.swept = True
    hog = crowd(scene.spool.parent)
    stack.callback(hog.unlink)
    return hog.stat().st_ctime


def _wait_until_refused(scene: Scene, since: float) -> None:
    """Let the load go on until the relay has refused a delivery, since a moment, that it had no room for."""
    until(lambda: scene.load.refused_since(since), PATIENCE)


def _pending(scene: Scene) -> AbstractSet[str]:
    return {one for one, row in rows_of(scene.spool).items() if row.status == "pending"}


def fill_spool(scene: Scene) -> None:
    """Kafka is away until the spool has no room; what was accepted is published later, and the rest is taken then."""
    scene.excused.swept = True
    with through(scene, lambda proxy: proxy.freeze()):
        _wait_until_refused(scene, time.time())


def fail_fsync(scene: Scene) -> None:
    """One fsync of the spool fails: of its log, or of the file as the log is put into it."""
    flag = scene.folder / "fsync"
    flag.touch()
    until(lambda: not flag.exists(), PATIENCE)


def delete_spool(scene: Scene) -> None:
    """Somebody deletes the spool's files beneath the relay; once there is a new one, the relay is killed."""
    deleted = scene.spool.stat().st_ino
    for file in scene.spool.parent.glob(f"{scene.spool.name}*"):
        if file.suffix != ".lock":
            file.unlink()
    until(lambda: scene.spool.exists() and scene.spool.stat().st_ino != deleted, PATIENCE)
    scene.run_until_more(scene.chance.randint(0, 50))
    scene.relay.kill9()
    scene.relay.start()


def step_clock(scene: Scene) -> None:
    """The clock is set forth, and back, and right again, with a crash of the relay in the midst of it."""
    scene.excused.doubts = True  # nobody knows the age of a flight from the future
    for off in (scene.chance.uniform(0, STEP), -scene.chance.uniform(0, STEP)):
        _set(scene.folder, f"{off}")
        scene.run_until_more(50)
        if scene.chance.random() < 1 / 2:
            scene.relay.kill9()
            scene.relay.start()
            scene.run_until_more(50)
    _set(scene.folder, "0")


def freeze_clock(scene: Scene) -> None:
    """The clock stands still for a while, and then jumps to what it is."""
    _set(scene.folder, f"frozen {time.time()}")
    scene.run_until_more(300)
    _set(scene.folder, "0")


def reload(scene: Scene) -> None:
    """Stop, and start with other rules that say the same: to read its rules anew, the relay is started anew."""
    scene.run_until_more(scene.chance.randint(5, 100))
    assert scene.relay.stop() == 0
    configuration = json.loads(scene.relay.config.read_text())
    configuration["routes"] = scene.rules(split=scene.chance.random() < 1 / 2, name=f"{scene.chance.getrandbits(32):x}")
    scene.relay.config.write_text(json.dumps(configuration))
    scene.relay.start()


def _set(folder: Path, words: str) -> None:
    """Set the clock, in one step."""
    fresh = folder / "clock.new"
    fresh.write_text(words)
    fresh.replace(folder / "clock")


FAULTS = (
    Fault("disk full", fill_disk, by_door=True, part="several", stage=on_small_disk),
    Fault("disk full for a while", crowd_disk, part="relay", stage=on_small_disk),
    Fault("spool full", fill_spool, SMALL, by_door=True, part="several"),
    Fault("fsync fails once", fail_fsync, part="relay", stage=with_failing_fsync),
    Fault("spool deleted", delete_spool, part="relay"),
    Fault("clock set forth and back", step_clock, part="relay", stage=with_clock),
    Fault("clock stands still", freeze_clock, part="relay", stage=with_clock),
    Fault("started with other rules", reload, part="relay"),
)
