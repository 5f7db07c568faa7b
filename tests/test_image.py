"""What the container image promises, as far as its Dockerfile shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def last_stage() -> list[tuple[str, str]]:
    """Give the instructions of the stage that is shipped, each with its argument on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    instructions = [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]
    start = max(i for i, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[start:]


def argument(of: str) -> str:
    """Give the argument of the last such instruction, the one that holds."""
    return [rest for word, rest in last_stage() if word == of][-1]


def test_the_image_runs_as_a_numeric_user_and_not_as_root() -> None:
    """The final user and group are numbers other than 0, and nothing changes them back."""
    user, group = argument("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_reports_its_health() -> None:
    """The health check asks the relay itself, without a shell."""
    assert json.loads(argument("HEALTHCHECK").partition("CMD")[2]) == ["relay", "healthcheck"]


def test_only_the_volume_is_written() -> None:
    """The spool's default path is on the volume, and no bytecode is written, so the root may be read-only."""
    assert argument("VOLUME") == "/data"
    assert argument("WORKDIR") == "/"
    assert "PYTHONDONTWRITEBYTECODE=1" in argument("ENV")


def test_nothing_unpinned_gets_into_the_image() -> None:
    """Every installation checks hashes, or is of the wheel that was built here."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    installs = re.findall(r"pip install ([^&\n]*)", text)
    assert installs
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)
