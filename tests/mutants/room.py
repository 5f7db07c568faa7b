"""Room: the files that are changed, and the tests that must notice."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "mutants"
COPIED = ("relay", "tests", "config", "docs", "pyproject.toml")
# A test that hangs has noticed: mutmut's own patience is longer than that of pytest.
CONFIGURATION = """
[tool.mutmut]
source_paths = ["relay"]
only_mutate = {files}
also_copy = ["config", "docs"]
pytest_add_cli_args = ["-m", "not slow and not kafka", "-p", "no:cacheprovider", "--timeout=15"]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 5.0
timeout_multiplier = 12.0
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What became of a room's mutants; `unnoticed` names those that survived, also for want of a test."""

    killed: int
    unnoticed: tuple[str, ...]

    @property
    def tried(self) -> int:
        """How many mutants there were."""
        return self.killed + len(self.unnoticed)

    @property
    def rate(self) -> float:
        """The killed per cent, rounded down to a tenth."""
        return 1000 * self.killed // max(1, self.tried) / 10


@dataclass(frozen=True, slots=True)
class Room:
    """A part of the program and the folder of its tests; of every ten mutants of a function `tenths` are tried."""

    name: str
    files: str
    tests: str
    tenths: int = 10

    def run(self, seed: int, children: int) -> Count:
        """Try the mutants that `seed` chooses, in a copy of the repository: build/mutants/<name>."""
        work = WORK / self.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, work / name) if source.is_dir() else shutil.copy(source, work / name)
        with (work / "pyproject.toml").open("a") as configuration:
            configuration.write(CONFIGURATION.format(files=[self.files], tests=[self.tests]))
        with (work / "log").open("w") as log:
            command = [_mutmut(), "run", f"--max-children={children}", *self._chosen(seed)]
            code = subprocess.run(command, cwd=work, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        if code:
            sys.exit(f"{self.name}: mutmut did not run, see {work / 'log'}")
        return self._count()

    def show(self, mutant: str) -> str:
        """Give a mutant's change to the program, as a diff."""
        return _ask(WORK / self.name, "show", mutant)

    def _chosen(self, seed: int) -> list[str]:
        """Choose by the last digit of a mutant's number within its function."""
        digits = random.Random(seed).sample("0123456789", self.tenths)
        return [f"*__mutmut_*[{''.join(sorted(digits))}]"] if self.tenths < len("0123456789") else []

    def _count(self) -> Count:
        """Read what mutmut wrote down. An outcome that is neither a kill nor a survival is told, and ends the run."""
        said = re.findall(r"(?m)^ +(\S+): ([a-z ]+)$", _ask(WORK / self.name, "results", "--all", "true"))
        fates = Counter(fate for _, fate in said)
        if strange := set(fates) - {"killed", "timeout", "survived", "no tests", "not checked"}:
            sys.exit(f"{self.name}: mutants whose tests ended otherwise: {', '.join(sorted(strange))}; see {WORK}")
        unnoticed = tuple(mutant for mutant, fate in said if fate in {"survived", "no tests"})
        return Count(fates["killed"] + fates["timeout"], unnoticed)


def _mutmut() -> str:
    return str(Path(sys.executable).with_name("mutmut"))


def _ask(work: Path, *question: str) -> str:
    command = [_mutmut(), *question]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=True).stdout
