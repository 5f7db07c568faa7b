"""Mutations of signed requests, a million in the long run: what is not the original, to the byte, does not pass."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import SPARE, balance, good_traffic_beside, resident
from tests.hostile.mutation_client import ORIGINALS
from tests.hostile.mutations import KINDS, Original, says_the_same
from tests.running import Running, settings

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

COUNT = int(os.environ.get("MUTATIONS", "50000"))
FIRST = COUNT // 10  # after so many the relay has nearly all the memory it needs: it levels off, a million cost 7 MB
REMEMBERED = 100_000  # ids: the table for a million becomes resident as good traffic writes it, 8 MB in some minutes
SEED = 20_231_005


def mutated(port: int, seed: int, count: int) -> dict[str, int]:
    """Have a process of its own send so many, none of which may pass wrongly; count the answers by their status."""
    command = [sys.executable, "-m", "tests.hostile.mutation_client", str(port), str(seed), str(count)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=True, timeout=40 + count // 1000)
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    answers: dict[str, int] = result["answers"]
    assert sum(answers.values()) == count
    return answers


@pytest.mark.slow
@pytest.mark.timeout(60 + COUNT // 1000)
def test_of_all_mutations_only_the_original_passes(kafka: Cluster, tmp_path: Path) -> None:
    """Each is a duplicate of the original when path, signature and body are its own, and otherwise refused.

    What is accepted are the originals, once each, and the good traffic beside. Memory does not grow with them.
    """
    listen = {"host": "127.0.0.1", "port": 0, "max_in_flight": 10_000, "header_timeout": "1s", "body_timeout": "1s"}
    sections = {"listen": listen, "dedupe": {"ids": REMEMBERED}}
    configuration = settings(kafka.bootstrap_servers, tmp_path, "hostile.mutations", **sections)
    with Running(tmp_path, configuration) as relay:
        with good_traffic_beside(relay, lambda: ORIGINALS):
            mutated(relay.port, SEED + 1, FIRST)
            memory = resident(relay.pid)
            answers = mutated(relay.port, SEED, COUNT)
            assert resident(relay.pid) < memory + SPARE
        assert answers["401"] + answers["429"] > COUNT / 2
        assert balance(relay).duplicate >= answers["202"] > COUNT / 100
        assert relay.stop() == 0
    (tmp_path / "log").unlink()  # a line for each of them


def test_mutations_are_of_all_kinds() -> None:
    """Of each kind there are many different ones; of those that matter, next to none is the original."""
    original = Original.number(0)
    for share, kind in KINDS:
        chance = random.Random(SEED)
        made = [kind(original, chance) for _ in range(1000)]
        same = sum(each.may_pass for each in made)
        assert share > 0
        assert len({each.data for each in made}) > 300
        assert all(says_the_same(each.data, original) == each.may_pass for each in made)
        assert same == 1000 if made[0].must_pass else same < 400
