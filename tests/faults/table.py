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
        self._skipped: dict[str, str] = {}

    def add(self, fault: str, struck: int, found: Finding) -> None:
        """Add an episode to the row of its fault."""
        self._findings[fault] = self._findings.get(fault, Finding()) + found
        self._struck[fault] = self._struck.get(fault, 0) + struck
        self._failed[fault] = self._failed.get(fault, 0) + (not found.clean)
        self._keep()

    def skip(self, fault: str, why: str) -> None:
        """Note that a fault cannot be done on this machine."""
        self._skipped[fault] = why
        self._keep()

    @property
    def clean(self) -> bool:
        """Tell whether there was an episode, and every promise was kept in all."""
        return bool(self._findings) and not any(self._failed.values())

    def __str__(self) -> str:
        """Give it in Markdown; `failed` counts the episodes that were not clean, or had no end."""
        columns = ("fault", "struck", "deliveries", "failed", *PROMISED, *EXCUSED, "recovery, s")
        lines = [columns, ("---",) * len(columns)]
        lines += [
            self._row(name, found, self._struck[name], self._failed[name])
            for name, found in sorted(self._findings.items())
        ]
        total = sum(self._findings.values(), Finding())
        lines.append(self._row("all", total, sum(self._struck.values()), sum(self._failed.values())))
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n".join([table, *(f"\nnot done: {name}: {why}" for name, why in sorted(self._skipped.items()))])

    @staticmethod
    def _row(name: str, found: Finding, struck: int, failed: int) -> tuple[str, ...]:
        counts = (getattr(found, column) for column in (*PROMISED, *EXCUSED))
        figures = (struck, found.deliveries, failed, *counts)
        return name, *(f"{figure:,}" for figure in figures), f"{found.recovery:.1f}"

    def _keep(self) -> None:
        if self._file:
            fresh = self._file.with_name(f"{self._file.name}.new")
            fresh.write_text(f"{self}\n")
            fresh.replace(self._file)
