"""Room: the files that are changed, and the tests that must notice."""

from __future__ import annotations

import os
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
DIGITS = "0123456789"
SQL = re.compile(r"(?i)\b(SELECT|FROM|WHERE|INSERT|VALUES|UPDATE|DELETE|ORDER BY)\b")
ARGUMENTS = ("-m", "not slow and not kafka", "-p", "no:cacheprovider")
# There hypothesis tries the same examples each time, and none of them is too slow.
ENVIRONMENT = os.environ | {"CI": "true"}
# A test that hangs has noticed: mutmut's own patience is longer than that of pytest.
CONFIGURATION = """
[tool.mutmut]
source_paths = ["relay"]
only_mutate = {files}
also_copy = ["config", "docs"]
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 5.0
timeout_multiplier = 12.0
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What became of a room's mutants.

    `hung` are those of the `killed` whose tests came to no end, not even by their own timeout. `survived` are those
    that no test noticed, also for want of one, with their changes as diffs. `idle` counts those that no test could
    notice, as they change nothing but the case of SQL; they count neither way.
    """

    killed: int
    hung: int
    survived: dict[str, str]
    idle: int

    @property
    def rate(self) -> float:
        """The killed per cent, rounded down to a tenth."""
        return 1000 * self.killed // max(1, self.killed + len(self.survived)) / 10


@dataclass(frozen=True, slots=True)
class Room:
    """A part of the program, its tests, and those `without` which it goes.

    A test has noticed when it takes longer than `patience`, in seconds. Of every ten mutants of a function `tenths`
    are tried.
    """

    name: str
    files: str
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    patience: int = 60
    tenths: int = len(DIGITS)

    def run(self, seed: int, children: int) -> Count:
        """Try the mutants that `seed` chooses, in a copy of the repository: build/mutants/<name>."""
        work = WORK / self.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, work / name) if source.is_dir() else shutil.copy(source, work / name)
        arguments = [*ARGUMENTS, f"--timeout={self.patience}"]
        arguments += [f"--deselect={test}" for test in self.without]
        with (work / "pyproject.toml").open("a") as configuration:
            configuration.write(CONFIGURATION.format(files=[self.files], tests=[*self.tests], arguments=arguments))
        with (work / "log").open("w") as log:
            command = [_mutmut(), "run", f"--max-children={children}", *self._chosen(seed)]
            run = subprocess.run(command, cwd=work, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT, check=False)
        if run.returncode:
            sys.exit(f"{self.name}: mutmut did not run, see {work / 'log'}")
        return self._count()

    def _chosen(self, seed: int) -> list[str]:
        """Choose by the last digit of a mutant's number within its function."""
        if self.tenths == len(DIGITS):
            return []
        return [f"*__mutmut_*[{''.join(sorted(random.Random(seed).sample(DIGITS, self.tenths)))}]"]

    def _count(self) -> Count:
        """Read what mutmut wrote down. An outcome that is neither a kill nor a survival is told, and ends the run."""
        work = WORK / self.name
        said = re.findall(r"(?m)^ +(\S+): ([a-z ]+)$", _ask(work, "results", "--all", "true"))
        fates = Counter(fate for _, fate in said)
        if strange := set(fates) - {"killed", "timeout", "survived", "no tests", "not checked"}:
            sys.exit(f"{self.name}: mutants whose tests ended otherwise: {', '.join(sorted(strange))}; see {work}")
        survived = {mutant: _ask(work, "show", mutant) for mutant, fate in said if fate in {"survived", "no tests"}}
        told = {mutant: change for mutant, change in survived.items() if not is_idle(change)}
        killed, hung = fates["killed"] + fates["timeout"], fates["timeout"]
        return Count(killed, hung, told, idle=len(survived) - len(told))


def is_idle(change: str) -> bool:
    """Tell whether a diff changes nothing but the case of SQL, outside its texts: SQLite does not see that."""
    lines = change.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if re.match(rf"\{sign}(?!\{sign})", line)) for sign in "-+")
    return old.casefold() == new.casefold() and bool(SQL.search(old)) and not re.search(r"'\w+'", old)


def _mutmut() -> str:
    return str(Path(sys.executable).with_name("mutmut"))


def _ask(work: Path, *question: str) -> str:
    command = [_mutmut(), *question]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=True).stdout
