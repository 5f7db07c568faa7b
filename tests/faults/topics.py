"""Faults of topics: one that cannot be written for a while, or is changed, taken away and made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation

from tests.faults.fault import Fault
from tests.faults.load import LARGE_BYTES
from tests.faults.oracle import untouched
from tests.faults.processes import NOTICED, SHORT
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from tests.faults.scene import Scene

PATIENCE = 120.0


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
    """A topic is deleted, and made again some time later."""
    _make_again(scene, "contoso", [[1, 2, 3], [2, 3, 1], [3, 1, 2]])


def enlarge(scene: Scene) -> None:
    """A topic gets more partitions: keys go to others, what is under way stays where it was bound to."""
    for short, topic in scene.topics.items():
        scene.excused.moved.add(topic)
        scene.admin.enlarge(topic, scene.admin.partitions(topic) + scene.chance.randint(1, 3))
        scene.run_until_more(len(short))


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


def _forbid(scene: Scene, *operations: AclOperation) -> None:
    topic = scene.topics["contoso"]
    scene.admin.forbid(topic, *operations)
    try:
        scene.wait_until_held("contoso", "TOPIC_AUTHORIZATION_FAILED")
        scene.wait_until_others_go_on("contoso")
        scene.run_for(scene.chance.uniform(0, 3))
    finally:
        scene.admin.allow(topic)


def _make_again(scene: Scene, short: str, replicas: list[list[int]], config: dict[str, str] | None = None) -> None:
    """Delete a topic and make it anew; what was sent to it before it was gone may have gone with it."""
    topic = scene.topics[short]
    scene.excused.doubts = True  # what was in the old one may have been read, and is sent to the new one as well
    scene.subscriber.forget(topic)
    scene.admin.delete(topic)
    scene.run_for(scene.chance.uniform(0, 3))
    _excuse_destroyed(scene, topic)  # what the old one has still taken in, from who had heard of it late, is settled
    scene.admin.create(topic, replicas, config)
    scene.subscriber.follow(topic)


def _excuse_destroyed(scene: Scene, topic: str) -> None:
    """Note what may have been in a topic of which something is gone by now."""
    sent = frozenset(scene.load.sent)
    scene.excused.destroyed[topic] = sent - untouched(scene.spool, topic)


def _asked(ask: Callable[[str], Iterable[int]], topic: str) -> AbstractSet[int]:
    """Give the nodes that are asked for; none while the broker that is asked is frozen or gone."""
    try:
        return set(ask(topic))
    except KafkaException:
        return set()


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
        until(lambda: _asked(scene.admin.in_sync, topic) == {leader}, PATIENCE)
        scene.run_until_more(50)
        scene.subscriber.forget(topic)
        scene.cluster.kill(leader)
    finally:
        scene.cluster.resume(behind)
    until(lambda: _asked(scene.admin.leaders, topic) == {behind}, PATIENCE)
    _excuse_destroyed(scene, topic)
    scene.subscriber.follow(topic)
    scene.cluster.restart(leader)


FAULTS = (
    Fault("too few in sync", too_few_in_sync, SHORT),
    Fault("leaderless", leaderless, SHORT, part="several"),
    Fault("topic deleted and made again", make_again, part="topics"),
    Fault("unclean election", elect_uncleanly, SHORT, part="several"),
    Fault("partitions added", enlarge, part="topics"),
    Fault("message too large", lower_the_limit, part="topics"),
    Fault("writing forbidden and allowed", forbid_writing, part="topics"),
    Fault("topic hidden and shown", forbid_all, part="topics"),
)
