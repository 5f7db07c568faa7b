"""Faults of topics: one that cannot be written for a while, or is changed, taken away and made again."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from confluent_kafka.admin import AclOperation

from relay.kafka import partition_of
from tests.faults.fault import Fault
from tests.faults.load import KEYS, LARGE_BYTES, WORKSPACES, key_of, workspace_of
from tests.faults.network import LATE, through
from tests.faults.oracle import untouched
from tests.faults.processes import NOTICED, SHORT
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.scene import Scene

PATIENCE = 120.0
ONE_RECORD = 1_000  # bytes that one record takes at most, unless it is a large one, and two do not


def too_few_in_sync(scene: Scene) -> None:
    """A topic asks for all three replicas, and one is away: NOT_ENOUGH_REPLICAS."""
    topic, node = scene.topics["contoso"], scene.chance.choice(scene.cluster.nodes)
    scene.admin.set(topic, "min.insync.replicas", "3")
    scene.cluster.kill(node)
    scene.wait_until_held("contoso")
    scene.wait_until_others_go_on("contoso")
    scene.run_for(scene.chance.uniform(0, NOTICED))
    scene.cluster.restart(node)


def leaderless(scene: Scene) -> None:
    """The only replica of all partitions of a topic is frozen: no leader, and nobody who could be one."""
    node = scene.chance.choice(scene.cluster.nodes)
    _make_again(scene, "contoso", [[node]] * 3, {"min.insync.replicas": "1"})
    scene.run_until_more(50)
    scene.cluster.pause(node)
    try:
        scene.wait_until_held("contoso")
        scene.wait_until_others_go_on("contoso")
        scene.run_for(NOTICED)
    finally:
        scene.cluster.resume(node)


def make_again(scene: Scene) -> None:
    """A topic is deleted, and made again once the others were seen to go on without it."""
    topic = scene.topics["contoso"]
    _delete(scene, topic)
    scene.wait_until_held("contoso")
    scene.wait_until_others_go_on("contoso")
    _create_anew(scene, topic, [[1, 2, 3], [2, 3, 1], [3, 1, 2]])


def enlarge(scene: Scene) -> None:
    """Topics get more partitions: keys go to others, what is under way stays where it was bound to."""
    before = {topic: scene.admin.partitions(topic) for topic in scene.topics.values()}
    for short, topic in scene.topics.items():
        scene.excused.moved.add(topic)
        scene.admin.enlarge(topic, _enough(before[topic], scene.chance.randint(1, 3)))
        scene.run_until_more(len(short))
    until(lambda: _has_moved(scene, before), PATIENCE)


def _enough(partitions: int, more: int) -> int:
    """Give so many more that some key of each source goes to one that is new."""
    keys = [[key_of(source, workspace_of(number)).encode() for number in range(WORKSPACES)] for source in KEYS]
    counts = itertools.count(partitions + more)
    return next(n for n in counts if all(any(partition_of(key, n) >= partitions for key in some) for some in keys))


def _has_moved(scene: Scene, before: Mapping[str, int]) -> bool:
    """Tell whether something was read in each topic in a partition that it did not have before."""
    read = list(scene.subscriber.reads)
    return all(any(one.topic == topic and one.partition >= count for one in read) for topic, count in before.items())


def lower_the_limit(scene: Scene) -> None:
    """A topic's max.message.bytes is lowered below some records, while the relay holds the old one for true."""
    topic = scene.topics["contoso"]
    scene.excused.dead.update(("refused", "too_large"))
    scene.admin.set(topic, "max.message.bytes", str(LARGE_BYTES * 2 // 3))
    scene.run_until_more(300)
    scene.admin.set(topic, "max.message.bytes", None)


def forbid_writing(scene: Scene) -> None:
    """The right to write is taken from the relay, and given back: TOPIC_AUTHORIZATION_FAILED of a batch."""
    _forbid(scene, AclOperation.WRITE)


def forbid_all(scene: Scene) -> None:
    """The relay may not even see the topic any more."""
    _forbid(scene, AclOperation.WRITE, AclOperation.DESCRIBE)


def refuse_what_is_written(scene: Scene) -> None:
    """What brokers have stored unheard is tried again, and refused: nobody may write any more, or it is too large."""
    topic = scene.topics["contoso"]
    by_size = scene.chance.random() < 0.5
    try:
        with through(scene, lambda proxy: proxy.slow(LATE)):
            scene.run_until_more(50)  # or batches would be of one record
            for proxy in scene.proxies:
                proxy.deafen()
            scene.wait_until_held("contoso", "no answer")
            if by_size:
                scene.excused.dead.update(("refused", "too_large"))
                scene.admin.set(topic, "max.message.bytes", str(ONE_RECORD))
            else:
                scene.admin.forbid(topic, AclOperation.WRITE)
        if by_size:
            scene.run_until_more(50)
        else:
            scene.wait_until_held("contoso", "TOPIC_AUTHORIZATION_FAILED")
    finally:
        scene.admin.set(topic, "max.message.bytes", None)
        scene.admin.allow(topic)


def _forbid(scene: Scene, *operations: AclOperation) -> None:
    topic = scene.topics["contoso"]
    scene.admin.forbid(topic, *operations)
    try:
        scene.wait_until_held("contoso", "TOPIC_AUTHORIZATION_FAILED")
        scene.wait_until_others_go_on("contoso")
        scene.run_for(scene.chance.uniform(0, 3))
    finally:
        scene.admin.allow(topic)


def _make_again(scene: Scene, short: str, replicas: list[list[int]], config: dict[str, str]) -> None:
    """Delete a topic and make it anew, otherwise."""
    topic = scene.topics[short]
    _delete(scene, topic)
    scene.run_for(scene.chance.uniform(0, 3))
    _create_anew(scene, topic, replicas, config)


def _delete(scene: Scene, topic: str) -> None:
    scene.excused.doubts = True  # what was in the old one may have been read, and is sent to the new one as well
    scene.subscriber.forget(topic)
    scene.admin.delete(topic)


def _create_anew(scene: Scene, topic: str, replicas: list[list[int]], config: dict[str, str] | None = None) -> None:
    """Make a topic that was deleted; what was sent to it before may have gone with it."""
    _excuse_destroyed(scene, topic)  # what the old one has still taken in, from who had heard of it late, is settled
    scene.admin.create(topic, replicas, config)
    scene.subscriber.follow(topic)


def _excuse_destroyed(scene: Scene, topic: str) -> None:
    """Note what may have been in a topic of which something is gone by now."""
    sent = frozenset(scene.load.sent)
    scene.excused.destroyed[topic] = sent - untouched(scene.spool, topic)


def elect_uncleanly(scene: Scene) -> None:
    """A replica that was left behind is made leader, as nobody else is there: what it does not have is destroyed."""
    scene.excused.doubts = True
    topic, (leader, behind) = scene.topics["contoso"], scene.chance.sample(scene.cluster.nodes, 2)
    scene.excused.unclean.add(topic)
    config = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    _make_again(scene, "contoso", [[leader, behind]] * 3, config)
    scene.run_until_more(50)
    scene.cluster.pause(behind)
    try:
        until(lambda: scene.admin.in_sync(topic) == {leader}, PATIENCE)
        scene.run_until_more(50)
        scene.subscriber.forget(topic)
        scene.cluster.kill(leader)
    finally:
        scene.cluster.resume(behind)
    until(lambda: set(scene.admin.leaders(topic)) == {behind}, PATIENCE)
    _excuse_destroyed(scene, topic)
    scene.subscriber.follow(topic)
    scene.cluster.restart(leader)


FAULTS = (
    Fault("too few in sync", too_few_in_sync, SHORT, part="several"),
    Fault("leaderless", leaderless, SHORT, part="several"),
    Fault("topic deleted and made again", make_again, part="topics"),
    Fault("unclean election", elect_uncleanly, SHORT, part="several"),
    Fault("partitions added", enlarge, part="topics"),
    Fault("message too large", lower_the_limit, part="topics"),
    Fault("writing forbidden and allowed", forbid_writing, part="topics"),
    Fault("topic hidden and shown", forbid_all, part="topics"),
    Fault("refused what is written", refuse_what_is_written, SHORT, by_door=True, part="several"),
)
