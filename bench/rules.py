"""Rules: what a delivery costs with one rule, and with many before the one that matches."""

from __future__ import annotations

import json
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

import yaml

from bench import lap, table
from bench.stage import CONFIG, say
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.lap import Lap
    from bench.stage import Stage

COUNTS = (1, 10, 100, 1000)
SECONDS = 3
FIGURES: tuple[Figure[Lap], ...] = (
    Figure("deliveries a second", lambda one: one.rate),
    Figure("CPU us a delivery", lambda one: one.cpu * 1e6),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Measure a relay for each number of rules, in turn; give the lines of the part."""
    laps = _laps(stage)
    one, most = str(COUNTS[0]), str(COUNTS[-1])
    yield from table.lines(laps, FIGURES, [(str(count), one) for count in COUNTS[1:]])
    yield ""
    yield "The last rule matches; those before it look at type, content.name and content.type, and do not."
    cost = median(table.within(laps[most], laps[one], FIGURES[1].read))
    goals.append(Goal(f"CPU a delivery with {most} rules, of that with one", cost, 1.2))


def write(path: Path, count: int) -> None:
    """Write the benchmark's configuration with so many rules."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    (last,) = config["routes"]
    config["routes"] = [*(rule(number, last["topics"]) for number in range(count - 1)), last]
    path.write_text(json.dumps(config), encoding="utf-8")


def rule(number: int, topics: list[str]) -> dict[str, object]:
    """Give one of the kinds of rules that people write; it matches no delivery of the benchmark."""
    team = f"team-{number:04}"
    kinds: tuple[dict[str, object], ...] = (
        {"type": "ProvisioningFailed", "content.name": {"prefix": f"{team}-"}},
        {"content.name": {"exact": team}},
        {"content.name": {"in": [team, f"{team}-test", f"{team}-archive"]}},
        {"type": "Provisioning*", "content.name": {"glob": f"*-{team}-*"}},
        {"content.type": {"in": ["MicrosoftTeams", "M365Group"]}, "content.name": {"suffix": f"-{team}"}},
        {"content.type": {"in": [f"YammerCommunity{number}"]}},
    )
    return {"name": f"rule-{number:04}", "match": kinds[number % len(kinds)], "topics": topics}


def _laps(stage: Stage) -> dict[str, list[Lap]]:
    pace, file = stage.pace, stage.folder / "deliveries"
    laps: dict[str, list[Lap]] = {str(count): [] for count in COUNTS}
    with ExitStack() as stack:
        courses = []
        for count in COUNTS:
            config = stage.folder / f"rules-{count}.yaml"
            write(config, count)
            courses.append((str(count), stage.start(stack, "relay", config=config)))
        rate = lap.warm_up([course for _, course in courses], file, connections=pace.connections)
        for number in range(pace.rounds):
            lap.prepare(file, rate, SECONDS)
            for name, course in courses:
                one = lap.run(course, file, seconds=SECONDS, connections=pace.connections)
                say(f"round {number + 1}: {name} rules {one.rate:,.0f}/s, {one.cpu * 1e6:.0f} us")
                laps[name].append(one)
            courses.reverse()
    return laps
