"""Table: what each fault came to so far, as it is printed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.oracle import Finding

if TYPE_CHECKING:
    from pathlib import Path

# Counts that must be nothing, and, after these, what no relay can make good.
PROMISED = ("lost", "forged", "doubled", "reordered", "misplaced", "unsettled")
EXCUSED = ("dead", "destroyed", "moved", "again")


class Table:
    """A row for each fault; kept in a file after each episode, so that a run that is broken off was not in vain."""

    def __init__(self, file: Path | None) -> None:
        """Begin without rows; keep them in `file` if there is one."""
        self._file = file
        self._findings: dict[str, Finding] = {}
        self._struck: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._unjudged: dict[str, int] = {}
        self._told: list[str] = []
        self._skipped: dict[str, str] = {}

    def add(self, fault: str, episode: str, struck: int, found: Finding) -> None:
        """Add an episode to the row of its fault; `episode` is how to repeat it, told if it was not clean."""
        self._findings[fault] = self._findings.get(fault, Finding()) + found
        self._struck[fault] = self._struck.get(fault, 0) + struck
        self._failed[fault] = self._failed.get(fault, 0) + (not found.clean)
        if not found.clean:
            self._told.append(f"failed: {episode}: {_first(found.faults) if found.faults else 'see its row'}")
        self._keep()

    def give_up(self, fault: str, episode: str, why: str) -> None:
        """Note an episode that broke off; whatever it did before that counts for nothing, as nobody judged it."""
        self._findings.setdefault(fault, Finding())
        self._unjudged[fault] = self._unjudged.get(fault, 0) + 1
        self._told.append(f"no verdict: {episode}: {_first([why])}")
        self._keep()

    def skip(self, fault: str, why: str) -> None:
        """Note that a fault cannot be done on this machine."""
        self._skipped[fault] = why
        self._keep()

    @property
    def kills(self) -> int:
        """Count the kills of the relay in all that was judged."""
        return sum(found.kills for found in self._findings.values())

    @property
    def clean(self) -> bool:
        """Tell whether there was an episode, every promise was kept in all, and none was left out."""
        return bool(self._findings) and not (any(self._failed.values()) or self._unjudged or self._skipped)

    def __str__(self) -> str:
        """Give it in Markdown, and under it in words each episode that was not clean.

        `failed` counts those in which a promise was broken, `no verdict` those that broke off.
        """
        columns = ("fault", "struck", "kills", "deliveries", "failed", "no verdict", *PROMISED, *EXCUSED, "recovery, s")
        lines = [columns, ("---",) * len(columns)]
        lines += [self._row(name, found, [name]) for name, found in sorted(self._findings.items())]
        lines.append(self._row("all", sum(self._findings.values(), Finding()), list(self._findings)))
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        skipped = (f"not done: {name}: {why}" for name, why in sorted(self._skipped.items()))
        return "\n".join([table, *(f"\n{words}" for words in (*self._told, *skipped))])

    def _row(self, name: str, found: Finding, rows: list[str]) -> tuple[str, ...]:
        struck, failed, unjudged = (
            sum(counts.get(row, 0) for row in rows) for counts in (self._struck, self._failed, self._unjudged)
        )
        counts = (getattr(found, column) for column in (*PROMISED, *EXCUSED))
        figures = (struck, found.kills, found.deliveries, failed, unjudged, *counts)
        return name, *(f"{figure:,}" for figure in figures), f"{found.recovery:.1f}"

    def _keep(self) -> None:
        if self._file:
            fresh = self._file.with_name(f"{self._file.name}.new")
            fresh.write_text(f"{self}\n")
            fresh.replace(self._file)


def _first(faults: list[str]) -> str:
    """Give the last line of the first of them, where an error says what it is."""
    return faults[0].strip().rpartition("\n")[2]
