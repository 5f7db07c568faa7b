"""Every target in turn for its share of the time (`make fuzz`), or one input again.

python -m tests.fuzz --seconds 60 [TARGET ...]
python -m tests.fuzz --input FILE TARGET
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.seeds import ROOT, dictionary, seeds
from tests.fuzz.targets import TARGETS

WORK = ROOT / "build" / "fuzz"  # what was found interesting is kept, and the next run goes on from there
SLOW = 10  # seconds that one input may take


class Outcome(NamedTuple):
    """What came of one target: its figures, and the input that broke a law, if one did."""

    executed: str
    coverage: str
    finding: Path | None


def run(name: str, seconds: int) -> Outcome:
    """Fuzz one target; libFuzzer's own lines go to a file beside the inputs."""
    work = WORK / name
    for folder in ("corpus", "seeds", "findings"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (work / "seeds" / str(number)).write_bytes(seed)
    (work / "words").write_text(dictionary())
    before = set((work / "findings").iterdir())
    command = [
        sys.executable, "-m", "tests.fuzz.fuzz", name, str(work / "corpus"), str(work / "seeds"),
        f"-max_total_time={seconds}", f"-timeout={SLOW}", f"-dict={work / 'words'}", "-max_len=8192",
        f"-artifact_prefix={work / 'findings'}/", "-print_final_stats=1", "-rss_limit_mb=2048",
    ]  # fmt: skip
    with (work / "log").open("w") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    said = (work / "log").read_text(errors="replace")
    executed = re.findall(r"number_of_executed_units: (\d+)", said) or re.findall(r"(?m)^#(\d+)\t", said)
    coverage = re.findall(r"cov: (\d+) ft: (\d+)", said)
    new = sorted(set((work / "findings").iterdir()) - before)
    if code and not new:
        sys.exit(f"{name}: the fuzzer did not run, see {work / 'log'}\n{said[-2000:]}")
    return Outcome(
        executed[-1] if executed else "0", "/".join(coverage[-1]) if coverage else "0", new[0] if new else None
    )


def main() -> int:
    """Fuzz, or run one input again; the answer is how many targets broke a law."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--input", type=Path, help="run this file once more, without the fuzzer")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if asked.input:
        for name in names:
            TARGETS[name](asked.input.read_bytes())
        return 0
    found = 0
    print(f"{'target':10} {'executions':>11}  edges/features")
    for name in names:
        outcome = run(name, max(1, asked.seconds // len(names)))
        print(f"{name:10} {outcome.executed:>11}  {outcome.coverage}", flush=True)
        if outcome.finding:
            found += 1
            print(f"  BROKEN by {outcome.finding.read_bytes()[:200]!r}")
            print(f"  again: {sys.executable} -m tests.fuzz --input {outcome.finding} {name}", flush=True)
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
