"""Pages: where a table of a spool's file stands, and a bad disk that writes over it."""

from __future__ import annotations

import enum
from contextlib import closing
from typing import TYPE_CHECKING

import apsw

from relay.spool.file import PAGE_SIZE, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEAVES = (10, 13)  # the kinds of page that hold rows


class Place(enum.Enum):
    """Which page of a table: that at its top, or the leaf a quarter of the way through."""

    ROOT = None
    QUARTER = 0.26

    def of(self, leaves: Sequence[int]) -> int:
        """Choose among the leaves, which stand in order."""
        return leaves[int((self.value or 0.0) * len(leaves))]


def root_of(path: Path, table: str) -> int:
    """Find the page at the top of a table or index."""
    with closing(apsw.Connection(str(path))) as connection:
        ((root,),) = rows(connection, "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    return int(root)


def pages_of(path: Path, table: str) -> list[int]:
    """Find the leaves of a table, by the page's kind and what it holds."""
    root = root_of(path, table)
    content = path.read_bytes()
    root_page = content[(root - 1) * PAGE_SIZE : root * PAGE_SIZE]
    if root_page[0] in LEAVES:
        return [root]
    cells = int.from_bytes(root_page[3:5])
    pointers = [int.from_bytes(root_page[12 + 2 * place : 14 + 2 * place]) for place in range(cells)]
    last = int.from_bytes(root_page[8:12])
    return [*(int.from_bytes(root_page[pointer : pointer + 4]) for pointer in pointers), last]


def ruin(path: Path, pages: Sequence[int]) -> None:
    """Write over pages, as a bad disk does."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE_SIZE)
            file.write(b"\xff" * PAGE_SIZE)
