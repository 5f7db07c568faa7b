"""Faults of processes: killed, frozen, stopped and started again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.faults.fault import Fault

if TYPE_CHECKING:
    from tests.faults.scene import Scene

# Longer than a broker may be silent (broker.session.timeout.ms), so that its partitions get other leaders.
NOTICED = 6.0
SHORT = {"kafka": {"delivery_timeout": "4s"}}
KILLS = 5


def kill_relay(scene: Scene) -> None:
    """Kill -9 of the relay, with deliveries in flight, and a start at once; and again, amid what it makes good."""
    for _ in range(KILLS):
        scene.run_until_more(scene.chance.randint(0, 50))
        scene.relay.kill9()
        scene.relay.start()


def stop_relay(scene: Scene) -> None:
    """SIGTERM under load, and a start."""
    scene.run_until_more(scene.chance.randint(5, 100))
    assert scene.relay.stop() == 0
    scene.relay.start()


def kill_broker(scene: Scene) -> None:
    """Kill -9 of a broker, which comes back later."""
    node = scene.chance.choice(scene.cluster.nodes)
    scene.cluster.kill(node)
    scene.run_for(scene.chance.uniform(0, NOTICED))
    scene.cluster.restart(node)


def kill_controller(scene: Scene) -> None:
    """Kill -9 of the active controller."""
    node = scene.cluster.controller()
    scene.cluster.kill(node)
    scene.run_for(scene.chance.uniform(0, NOTICED))
    scene.cluster.restart(node)


def kill_relay_and_broker(scene: Scene) -> None:
    """Kill -9 of both at once; the relay starts first, and recovers while the broker is still away."""
    node = scene.chance.choice(scene.cluster.nodes)
    scene.run_until_more(scene.chance.randint(5, 100))
    scene.cluster.kill(node)
    scene.relay.kill9()
    scene.relay.start()
    scene.run_for(scene.chance.uniform(0, NOTICED))
    scene.cluster.restart(node)


def kill_all(scene: Scene) -> None:
    """Kill -9 of all brokers and of the relay at once: as when the power goes."""
    for node in scene.cluster.nodes:
        scene.cluster.kill(node)
    scene.relay.kill9()
    scene.relay.start()
    for node in scene.cluster.nodes:
        scene.cluster.start_again(node)
    for node in scene.cluster.nodes:
        scene.cluster.wait_until_known(node)


def freeze_one(scene: Scene) -> None:
    """SIGSTOP of one broker until the others have noticed: it is the minority that is cut off."""
    freeze(scene, (scene.chance.choice(scene.cluster.nodes),), NOTICED)


def freeze_controller(scene: Scene) -> None:
    """SIGSTOP of the active controller; when it goes on, it still believes that it reigns."""
    freeze(scene, (scene.cluster.controller(),), NOTICED)


def freeze_most(scene: Scene) -> None:
    """SIGSTOP of two of three: nothing can be acknowledged, and there is no controller."""
    freeze(scene, scene.chance.sample(scene.cluster.nodes, 2), NOTICED)


def freeze_all(scene: Scene) -> None:
    """SIGSTOP of all brokers, for longer than a batch is waited for."""
    freeze(scene, scene.cluster.nodes, NOTICED)


def blink(scene: Scene) -> None:
    """SIGSTOP of all brokers, again and again, for less time than anybody notices."""
    for _ in range(5):
        freeze(scene, scene.cluster.nodes, scene.chance.uniform(0.2, 2.0))
        scene.run_for(scene.chance.uniform(0, 0.5))


def take_turns(scene: Scene) -> None:
    """One producer for all topics: lanes are opened and closed all along, also while a broker does not answer."""
    scene.run_for(scene.chance.uniform(2, 4))
    freeze(scene, (scene.chance.choice(scene.cluster.nodes),), scene.chance.uniform(1, 3))
    scene.run_until_more(100)


def roll(scene: Scene) -> None:
    """Stop each broker in order and start it again, one after the other, as an upgrade does."""
    for node in scene.cluster.nodes:
        scene.cluster.stop(node)
        scene.cluster.restart(node)
        scene.admin.wait_until_whole()


def freeze(scene: Scene, nodes: tuple[int, ...] | list[int], seconds: float) -> None:
    """Freeze brokers for a while; whatever happens, they go on."""
    with ExitStack() as stack:
        for node in nodes:
            scene.cluster.pause(node)
            stack.callback(scene.cluster.resume, node)
        scene.run_for(seconds)


FAULTS = (
    Fault("relay killed", kill_relay, part="relay", often=2),
    Fault("relay stopped and started", stop_relay, part="relay"),
    Fault("broker killed", kill_broker),
    Fault("controller killed", kill_controller),
    Fault("relay and broker killed", kill_relay_and_broker, part="several"),
    Fault("relay and all brokers killed", kill_all, part="several"),
    Fault("broker frozen", freeze_one, SHORT),
    Fault("controller frozen", freeze_controller),
    Fault("two brokers frozen", freeze_most, SHORT),
    Fault("all brokers frozen", freeze_all, SHORT),
    Fault("all brokers blink", blink, {"kafka": {"delivery_timeout": "1s", "request_timeout": "1s"}}),
    Fault("rolling restart", roll),
    Fault("one producer for all topics", take_turns, {"kafka": {"max_producers": 1, "idle_timeout": "1s"}}),
)
