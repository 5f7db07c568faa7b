"""Auditor: the relay's own word on what it did, beside that of the oracle, as an operator asks for it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.running import RELAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.faults.oracle import Excused

AUDIT = 60.0  # seconds


def audited(config: Path, environment: Mapping[str, str], excused: Excused) -> Iterator[str]:
    """Ask `relay audit --kafka` for its own word on a relay at rest; give what it finds that is not excused."""
    command = [RELAY, "audit", "--kafka", "--json", "-c", str(config)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=AUDIT, env={**os.environ, **environment}
    )
    if done.returncode not in {0, 1}:
        yield f"the audit left with {done.returncode}: {done.stderr[-500:]}"
        return
    for line in map(json.loads, done.stdout.splitlines()):
        yield from (f"the audit says: {fault}" for fault in line.get("faults", ()))
        if "id" in line and not _is_excused(line, excused):
            yield f"the audit says: {line}"


def _is_excused(line: Mapping[str, str], excused: Excused) -> bool:
    if line["found"] == "missing":
        return line["id"] in excused.destroyed.get(line["topic"], ())
    return line["found"] == "doubled" and line["topic"] in excused.unclean
