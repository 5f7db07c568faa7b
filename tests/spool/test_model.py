"""The spool against a list: appends, journals, sweeps, a full file, a refusing disk, and a crash between any two steps.

Runs the same examples every time. `SPOOL_MODEL_EXAMPLES=5000` looks at that many others instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from copy import deepcopy
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from structlog.testing import capture_logs

from relay.core.errors import Cause, Reason, Unavailable
from relay.core.model import Status
from relay.metrics import Metrics
from relay.spool import Appended, Entry, Flight, Journal, Journalled, Settlement, Spool, Verdict
from relay.spool.writer import Writer
from tests.spool.disk import Disk, Kind, Moment
from tests.spool.model import Line, Model, count, seen
from tests.spool.samples import FLIGHT, MIB, alter, entry, spool_at, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any, TypeVar

    from tests.spool.model import View

    T = TypeVar("T")

EXAMPLES = int(os.environ.get("SPOOL_MODEL_EXAMPLES", "0"))
RETENTION = 10.0
REMEMBERED = 14
OVERHEAD = 4096  # more than one delivery takes in the file beside its body
TOPICS = ("a", "b", "c")
CRASHES = (Kind.KILL, Kind.POWER)
# What the examples have to come by, or they prove less than they say.
PLACES = {
    "duplicate", "id_conflict", "spool_full", "dead_quota",
    "the disk refused in a REFUSAL", "the disk refused in a LAPSE", "settled while full",
    "swept by age", "swept for space", "bodies swept for space", "ids swept for space",
    "lost before KILL", "lost before POWER", "kept after KILL", "kept after POWER",
    *(f"{kind} amid a {what}" for kind in ("KILL", "POWER") for what in ("commit", "large commit", "sweep", "restart")),
}  # fmt: skip
LARGE = 25  # steps; so many have most commits
STEPS = st.integers(1, LARGE) | st.integers(LARGE + 1, 250)


class Wanted(NamedTuple):
    """A delivery to be appended."""

    id: int
    variant: int
    status: Status
    size: int
    topics: tuple[str, ...]


class Written(NamedTuple):
    """A journal to be written; the numbers pick from what is pending or in flight when it comes to it."""

    settled: list[tuple[int, int, bool]]
    again: list[int]
    landed: list[int]
    flights: list[str]
    verdicts: list[tuple[int, Status]]


wanted = st.builds(
    Wanted,
    st.integers(0, 9) | st.integers(10, 1 << 20),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([Status.PENDING] * 4 + [Status.DEAD, Status.DROPPED]),
    st.sampled_from([10, 10, 2_000, 70_000]),
    st.sampled_from([("a",), ("b",), ("a", "b"), TOPICS]),
)
written = st.builds(
    Written,
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2), st.sampled_from([False, False, True])), max_size=5),
    st.lists(st.integers(0, 50), max_size=2),
    st.lists(st.integers(0, 50), max_size=2),
    st.lists(st.sampled_from(TOPICS), max_size=2),
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from([Status.DEAD, Status.DROPPED])), max_size=1),
)


def moment(kinds: type[Kind] | Sequence[Kind], steps: st.SearchStrategy[int]) -> st.SearchStrategy[Moment]:
    """Give moments of some kinds, so many steps on."""
    return st.builds(Moment, st.sampled_from(kinds), steps, st.integers(0, 1 << 20))


deep, soon = (moment(CRASHES, steps) for steps in (st.integers(LARGE + 1, 120), st.integers(1, LARGE)))
crashes = moment(CRASHES, STEPS)
moments = st.none() | crashes | moment(Kind, STEPS)


def asked(one: Wanted) -> Entry:
    """Make the delivery that is wanted."""
    made = entry(
        f"id-{one.id}",
        body=bytes([65 + one.variant]) * one.size,
        status=one.status,
        fingerprint=bytes([one.variant]) * 16,
    )
    return msgspec.structs.replace(made, topics=one.topics)


def settlement(line: Line, topic: str, *, refused: bool) -> Settlement:
    """Settle one record of a delivery, always at the same place."""
    topics = line.entry.topics
    if refused:
        return Settlement(line.number, topics, topic, reason=Reason.REFUSED, detail="the broker refused it")
    return Settlement(line.number, topics, topic, topics.index(topic), 100 * line.number)


class SpoolMachine(RuleBasedStateMachine):
    """Does to a spool and to the model what a relay does, and to the spool what the world does."""

    reached: ClassVar[Counter[str]] = Counter()
    """What the examples came by."""

    @initialize()
    def begin(self) -> None:
        """Open a spool that is small, remembers little, and folds its log often."""
        self.patch = pytest.MonkeyPatch()
        self.now = 1_000_000.0
        self.patch.setattr("time.time", lambda: self.now)
        self.patch.setattr("relay.spool.spool.PROBE_INTERVAL", 3600.0)
        self.patch.setattr("relay.spool.spool.Spool._tend", lambda _: asyncio.sleep(3600))  # swept when a rule says so
        self.patch.setattr("relay.spool.keeper.CHECKPOINT_FRAMES", 20)
        self.patch.setattr("relay.spool.keeper.LOG_FRAMES_MAX", 60)
        self.runner = asyncio.Runner()
        self.disk = Disk(self.folder())
        self.model = Model(REMEMBERED)
        self.spool = self.opened()

    def teardown(self) -> None:
        """Close it, and leave nothing."""
        self.run(self.spool.__aexit__())
        self.runner.close()
        self.disk.unregister()
        shutil.rmtree(self.disk.folder)
        self.patch.undo()

    def folder(self) -> Path:
        """Make a place for a spool."""
        return Path(mkdtemp(prefix="relay-model-"))

    def opened(self) -> Spool:
        """Open the spool in the disk's folder."""
        metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
        path = self.disk.folder / "spool.db"
        spool = spool_at(path, metrics, max_size=MIB, retention=RETENTION, remembered=REMEMBERED)
        self.run(spool.__aenter__())
        self.run(spool.recall())
        return spool

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the event loop of this spool."""
        return self.runner.run(work)

    @rule(appends=st.lists(wanted, max_size=6), writes=st.lists(written, max_size=2), moment=moments)
    def commit(self, appends: list[Wanted], writes: list[Written], moment: Moment | None) -> None:
        """What is appended and journalled at once is on disk at once: all of it, or none."""
        entries, journals = [asked(one) for one in appends], self.journals(writes)
        before, used, dead = deepcopy(self.model), self.spool.usage.used, self.spool.usage.dead

        async def group() -> list[Any]:
            appending = [self.spool.append(one, lambda _: None) for one in entries]
            writing = [self.spool.write(journal) for journal in journals]
            return await asyncio.gather(*writing, *appending, return_exceptions=True)

        with self.disk.at(moment):
            answers = self.run(group())
        self.now += 1
        if answers and all(isinstance(one, Unavailable) and one.cause is Cause.SPOOL_ERROR for one in answers):
            assert moment, "a disk that works was refused"
            assert moment.kind not in CRASHES
            self.reached[f"the disk refused in a {moment.kind.name}"] += 1
            self.run(self.reopened())  # as the spool does within a second, before it may be killed
            return
        full = used + 60_000 > self.spool.usage.max_size - self.spool.usage.reserve
        for journal, answer in zip(journals, answers, strict=False):
            assert isinstance(answer, Journalled), "a journal is never refused for want of space"
            self.model.write(journal, answer, self.now - 1)
            self.reached["settled while full"] += full and bool(answer.done)
        appended = answers[len(journals) :]
        refused = self.model.append(entries, appended, self.now - 1)
        self.check_space(used, dead, entries, appended, refused)
        self.reached.update(cause.value for cause in refused)
        for answer in appended:
            if isinstance(answer, Appended):
                self.reached["duplicate"] += answer.duplicate
                self.reached["id_conflict"] += answer.reason is Reason.ID_CONFLICT
        self.crashed(moment, before, "commit" if moment is None or moment.step <= LARGE else "large commit")

    def check_space(
        self, used: int, dead: int, entries: list[Entry], answers: list[Appended | Unavailable], refused: list[Cause]
    ) -> None:
        """Is refused what does not fit, and taken what does, within what an estimate may err by."""
        usage, most = self.spool.usage, sum(len(one.delivery.body) + OVERHEAD for one in entries)
        assert set(refused) <= {Cause.SPOOL_FULL, Cause.DEAD_QUOTA}
        assert Cause.SPOOL_FULL not in refused or used + most > usage.max_size - usage.reserve
        assert Cause.DEAD_QUOTA not in refused or dead + most > usage.dead_quota
        for one, answer in zip(entries, answers, strict=True):
            if isinstance(answer, Appended) and not answer.duplicate:
                used += len(one.delivery.body)
                dead += len(one.delivery.body) if answer.status is Status.DEAD else 0
                assert used <= usage.max_size - usage.reserve
                assert answer.status is not Status.DEAD or dead <= usage.dead_quota

    def journals(self, writes: list[Written]) -> list[Journal]:
        """Make journals of what is pending and in flight, each thing in one of them only."""
        pending, flights = list(self.model.pending), list(self.model.flights)
        settled = [line for line in self.model.kept if line.records]
        made = []
        for one in writes:
            settlements: dict[tuple[int, str], Settlement] = {}
            for pick, place, refused in one.settled if pending else ():
                line = pending[pick % len(pending)]
                topic = line.entry.topics[place % len(line.entry.topics)]
                if topic not in line.records:
                    settlements.setdefault((line.number, topic), settlement(line, topic, refused=refused))
            for pick in one.again if settled else ():
                line = settled[pick % len(settled)]
                settlements.update({(line.number, topic): record for topic, record in line.records.items()})
            landed = tuple({flights[pick % len(flights)] for pick in one.landed} if flights else ())
            flown = tuple(self.flight(topic) for topic in one.flights)
            verdicts = [
                Verdict(
                    pending[pick % len(pending)].number, status, None if status is Status.DROPPED else Reason.UNROUTABLE
                )
                for pick, status in one.verdicts
                if pending
            ]
            made.append(Journal(tuple(settlements.values()), landed, flown, tuple(verdicts)))
            taken = {number for number, _ in settlements} | {verdict.number for verdict in verdicts}
            pending = [line for line in pending if line.number not in taken]
            flights = [id_ for id_ in flights if id_ not in landed]
        return made

    def flight(self, topic: str) -> Flight:
        """Make a flight of what is pending for a topic."""
        items = tuple((line.number, b"key") for line in self.model.pending if topic in line.entry.topics)
        return msgspec.structs.replace(FLIGHT, topic=topic, items=items)

    @rule(status=st.sampled_from([Status.PENDING, Status.DROPPED, Status.DEAD]), moment=moments | deep)
    def fill(self, status: Status, moment: Moment | None) -> None:
        """As much as goes in at once leaves room for what drains it."""
        first = 1 << 30 | len(self.model.lines) << 8
        self.commit([Wanted(first + place, 0, status, 60_000, ("a", "b")) for place in range(12)], [], moment)

    @rule(refused=st.booleans(), moment=moments)
    def drain(self, refused: bool, moment: Moment | None) -> None:
        """Everything that waits is settled at once."""
        waiting = [(place, topic, refused) for place in range(len(self.model.pending)) for topic in range(3)]
        self.commit([], [Written(waiting, [], [], [], [])], moment)

    @rule(moment=moments)
    def crowd(self, moment: Moment | None) -> None:
        """When what fills the file cannot go, ids that are older than all of it do."""
        for status in (Status.DROPPED, Status.PENDING):
            self.fill(status, None)
            self.sweep(0.0, moment if status is Status.PENDING else None)

    @rule(moment=moments)
    def retire(self, moment: Moment | None) -> None:
        """What is settled is kept for its time, and then goes."""
        first = 1 << 29 | len(self.model.lines) << 8
        self.commit(
            [Wanted(first, 0, Status.PENDING, 10, TOPICS), Wanted(first + 1, 0, Status.DROPPED, 10, ("a",))], [], None
        )
        self.drain(refused=False, moment=None)
        self.sweep(RETENTION, None)
        self.sweep(1.0, moment)

    @rule(wait=st.sampled_from([0.0, RETENTION, RETENTION + 1, 3 * RETENTION]), moment=moments)
    def sweep(self, wait: float, moment: Moment | None) -> None:
        """The sweep takes what is settled and old, all that is settled when space is short, and nothing else."""
        self.now += wait
        before, short, fails = deepcopy(self.model), self.spool.usage.short, False
        with self.disk.at(moment):
            try:
                self.run(self.spool._sweep())
            except Unavailable:
                assert moment
                assert moment.kind not in CRASHES
                fails = True
                assert self.spool._access.writer.store.sound is False
        if fails:
            self.run(self.reopened())
        found = count(self.spool._path, REMEMBERED).view
        if not fails or found != before.view():
            self.model.sweep(older_than=self.now - RETENTION, short=short, found=found)
            self.reached["bodies swept for space"] += any(line.stripped for line in self.model.kept)
            if len(self.model.kept) < len(before.kept):
                self.reached["swept for space" if short else "swept by age"] += 1
            self.reached["ids swept for space"] += self.model.ids < before.ids

        def partly(found: View) -> Model:
            # Bodies, deliveries and ids leave one after the other, each in a commit of its own.
            model = deepcopy(before)
            model.sweep(older_than=self.now - RETENTION, short=short, found=found)
            return model

        self.crashed(moment, before, "sweep", partly)

    @rule(moment=st.none() | crashes | soon)
    def reopen(self, moment: Moment | None) -> None:
        """A restart changes nothing, and counts what the process before it had kept count of."""
        usage = self.spool.usage
        with self.disk.at(moment):
            self.run(self.spool.__aexit__())
            self.spool = self.opened()
        assert self.spool.usage == usage
        self.crashed(moment, self.model, "restart")

    @rule(moment=crashes)
    def crash(self, moment: Moment) -> None:
        """What returned survives the loss of the process, and of the machine's power."""
        with self.disk.at(moment):
            pass
        self.crashed(moment, self.model, "rest")

    @rule()
    def ghost(self) -> None:
        """What a commit that was told as failed left on disk after all is taken back before anything else."""
        with self.disk.at(Moment(Kind.REFUSAL, 1)), pytest.raises(Unavailable):
            self.run(self.spool.write(Journal(flights=(FLIGHT,))))  # which is written also while the file is full
        last = len(self.model.lines)
        alter(
            self.spool._path,
            f"INSERT INTO ids (number, digest, fingerprint, accepted_at) VALUES ({last + 1}, x'00', x'00', 0)",  # noqa: S608 - a number
        )
        self.commit([Wanted(98, last, Status.PENDING, 10, ("a",))], [], None)

    async def reopened(self) -> None:
        """Do what the next commit would do first: who knows what the failed one left on disk."""
        await self.spool._access.write(Writer.reopen)

    def crashed(
        self, moment: Moment | None, before: Model, what: str, partly: Callable[[View], Model] | None = None
    ) -> None:
        """Go on from what a crash left, which is what was before the last thing done, or after it, and no third.

        `what` was done; what takes several commits may also have been done `partly`.
        """
        if moment is None or moment.left is None:
            return
        self.reached[f"{moment.kind.name} amid a {what}"] += moment.amid
        usage = self.spool.usage
        self.run(self.spool.__aexit__())
        shutil.rmtree(self.disk.folder)
        self.disk.replace(self.folder(), moment.left)
        self.spool = self.opened()
        found = count(self.spool._path, REMEMBERED).view
        if found == self.model.view():
            self.reached[f"kept after {moment.kind.name}"] += self.model.view() != before.view()
            assert (self.spool.usage.dead, self.spool.usage.used) == (usage.dead, usage.used)
            return
        if partly and found != before.view():
            before = partly(found)
        assert found == before.view(), "neither before nor after"
        self.reached[f"lost before {moment.kind.name}"] += 1
        self.model = before

    @invariant()
    def adds_up(self) -> None:
        """Counts are those of a recount, and each accepted delivery is somewhere."""
        found = count(self.spool._path, REMEMBERED)
        assert found.view == self.model.view()
        assert (self.spool.pending, self.spool.last_number) == (found.pending, found.last_number)
        assert self.spool.last_number == len(self.model.lines)
        assert self.spool.usage.used == found.used
        deads = found.by_status[Status.DEAD]
        assert found.dead_bytes <= self.spool.usage.dead <= found.dead_bytes + deads * OVERHEAD
        swept = sum(line.swept for line in self.model.lines)
        assert sum(found.by_status.values()) + swept == len(self.model.lines)
        assert self.spool.horizon == (len(self.model.ids), min(self.model.ids, default=None))
        totals = totals_of(self.spool._path)
        ends = [line.status for line in self.model.lines]
        assert (totals.accepted, totals.pending) == (len(ends), ends.count(Status.PENDING))
        assert (totals.published, totals.dropped) == (ends.count(Status.PUBLISHED), ends.count(Status.DROPPED))
        assert (totals.dead, totals.gone, totals.departed) == (ends.count(Status.DEAD), swept, 0)

    @invariant()
    def reads(self) -> None:
        """Whoever reads finds what the list says."""
        self.run(self.read_all())

    @rule(after=st.integers(0, 40), until=st.integers(0, 40))
    def page(self, after: int, until: int) -> None:
        """A page holds the pending ones behind one number and up to another."""
        expected = [self.model.stored(line) for line in self.model.pending if after < line.number <= until]
        assert self.run(self.spool.page(after, until)) == expected

    async def read_all(self) -> None:
        """Compare everything that can be read."""
        numbers = range(1, len(self.model.lines) + 2)
        whole = {line.number: self.model.stored(line) for line in self.model.kept if not line.stripped}
        assert await self.spool.load(numbers) == whole
        pending = [line.number for line in self.model.pending]
        assert [stored.number for stored in await self.spool.page(0, len(self.model.lines))] == pending
        assert await self.spool.flights() == list(self.model.flights.values())
        facts = [await self.spool.fact(number) for number in numbers]
        expected = [None if line.swept else self.model.fact(line) for line in self.model.lines]
        assert [seen(fact) for fact in facts] == [*expected, None]


@pytest.mark.slow
@pytest.mark.timeout(0 if EXAMPLES else 240)
def test_the_spool_is_a_list_on_disk() -> None:
    """Whatever is done to a spool, it holds, answers and counts what the list does; see the rules above."""
    SpoolMachine.reached.clear()
    bounds = settings(
        max_examples=EXAMPLES or 70,
        stateful_step_count=30,
        derandomize=not EXAMPLES,
        deadline=None,
        # To shrink what was found takes minutes; that is for the long runs.
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    with capture_logs():
        run_state_machine_as_test(SpoolMachine, settings=bounds)
    assert {place for place, times in SpoolMachine.reached.items() if times} >= PLACES, dict(SpoolMachine.reached)
