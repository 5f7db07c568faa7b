"""How long a refusal takes tells nothing: not where a signature is wrong, and not whether a path exists."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.hostile.timing_client import UNKNOWN
from tests.running import PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.running import Running

SMALL_ROUNDS, LARGE_ROUNDS = 8000, 1000
# Standard deviations. Two kinds that are the same differ by more in one run of two million.
ALIKE = 5.0
PART = 0.25  # of the time that reading and checking a large body takes
SMALL_PART = 0.12  # of the time of a small request


def timed(relay: Running, rounds: int, *kinds: str) -> dict[str, list[int]]:
    """Have a process of its own time refusals."""
    command = [sys.executable, "-m", "tests.hostile.timing_client", str(relay.port), str(rounds), *kinds]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=True, timeout=55)
    measured: dict[str, list[int]] = json.loads(done.stdout)
    return measured


def deviations(one: Sequence[int], other: Sequence[int]) -> float:
    """Give how far apart two kinds are that were timed in the same rounds: the sign test, in standard deviations.

    Of each round only who was faster counts, so that neither drift of the machine nor its outliers matter.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    return (sum(a < b for a, b in pairs) * 2 - len(pairs)) / math.sqrt(len(pairs))


def test_where_a_signature_is_wrong_cannot_be_timed(relay: Running) -> None:
    """Wrong in its first byte or in its last: neither is refused sooner, as surely as two that are the same."""
    measured = timed(relay, SMALL_ROUNDS, "first", "first again", "last")
    assert abs(deviations(measured["first"], measured["first again"])) < ALIKE, "the measurement itself is not sound"
    assert abs(deviations(measured["first"], measured["last"])) < ALIKE
    assert abs(deviations(measured["first again"], measured["last"])) < ALIKE


def test_whether_a_path_exists_cannot_be_timed(relay: Running) -> None:
    """A body under what may be a signature is read and checked for an unknown path as well, so that it takes as long.

    What may differ is measured in the same run: a part of what the work on a large body takes, and of a small request.
    """
    assert PATH != UNKNOWN
    kinds = "small", "small, unknown", "large", "large, unknown"
    measured = {kind: median(times) for kind, times in timed(relay, LARGE_ROUNDS, *kinds).items()}
    work = measured["large"] - measured["small"]
    assert work > 0
    assert abs(measured["large, unknown"] - measured["large"]) < PART * work
    assert abs(measured["small, unknown"] - measured["small"]) < SMALL_PART * measured["small"]


@pytest.mark.parametrize("shift", [0, 1])
def test_the_statistic_sees_a_shift_and_only_that(shift: int) -> None:
    """A small part of the noise is seen in what is shifted, and nothing in what is not."""
    chance = random.Random(4)
    one, other = ([round(chance.gauss(1000 + add, 20)) for _ in range(SMALL_ROUNDS)] for add in (0, 3 * shift))
    assert (abs(deviations(one, other)) > ALIKE) is bool(shift)
