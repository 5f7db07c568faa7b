"""Shown: what the demo wrote for one delivery, read back out of its text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

WIDTH = 12  # columns before what a line says: three of indent, and the name of the part


@dataclass(frozen=True)
class ShownRecord:
    """A record as it was shown."""

    place: tuple[str, int, int]
    key: str
    headers: dict[str, str]
    value: str


@dataclass(frozen=True)
class Shown:
    """A delivery as it was shown; `receipt` is the answer's JSON, `notes` what follows it, by name."""

    number: int
    request: str
    headers: dict[str, str]
    body: str
    status: int
    receipt: dict[str, object]
    records: list[ShownRecord]
    notes: dict[str, str]

    @property
    def places(self) -> list[tuple[object, ...]]:
        """Give the places that the receipt names."""
        records = self.receipt.get("records", [])
        assert isinstance(records, list)
        return [(record["topic"], record["partition"], record["offset"]) for record in records]


def read(text: str) -> list[Shown]:
    """Read every delivery in the demo's output, in the order shown."""
    blocks = re.findall(r"^(\d+)\. .+\n((?:   .*\n)+)", text, re.MULTILINE)
    return [_shown(int(number), block) for number, block in blocks]


def _shown(number: int, block: str) -> Shown:
    parts: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if name := line[:WIDTH].strip():
            parts.append((name, []))
        parts[-1][1].append(line[WIDTH:])
    (_, (request, *headers, body)), (_, (answer,)), *others = parts
    status, _, receipt = answer.partition(" ")
    return Shown(
        number,
        request,
        dict(_pair(header) for header in headers),
        body,
        int(status),
        json.loads(receipt),
        [_record(lines) for name, lines in others if name == "record"],
        {name: lines[0] for name, lines in others if name != "record"},
    )


def _record(lines: list[str]) -> ShownRecord:
    place, key, *headers, value = lines
    found = re.fullmatch(r"(\S+), partition (\d+), offset (\d+)", place)
    assert found, place
    return ShownRecord(
        (found[1], int(found[2]), int(found[3])),
        key.removeprefix("key: "),
        dict(_pair(header.removeprefix("header: ")) for header in headers),
        value,
    )


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value
