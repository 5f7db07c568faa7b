"""Sound: whether a row that can be read is one of ours still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import Status
from relay.spool.file import rows
from relay.spool.reader import items_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

TYPES: dict[str, type] = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}


class Sound:
    """Knows the rows of a table by the types of their values, and by words that only we write.

    Copied as it is, a damaged row that can be read would be damage in the new file as well, which would be made anew
    again, and so on.
    """

    def __init__(self, connection: apsw.Connection, table: str, names: Sequence[str]) -> None:
        """Check rows of these columns of a table, which `connection` has in its present form."""
        kinds = {
            name: {TYPES[kind], *(() if required or key else (type(None),))}
            for _, name, kind, required, _, key in rows(connection, f"PRAGMA table_info({table})")
        }
        self._kinds = [kinds[name] for name in names]
        self._seen: set[tuple[type, ...]] = set()
        self._words = {"deliveries": ("status", Status), "flights": ("items", items_of)}.get(table)
        self._place = names.index(self._words[0]) if self._words else 0

    def check(self, row: tuple[apsw.SQLiteValue, ...]) -> None:
        """Raise ValueError for a row that is none of ours any more."""
        types = tuple(map(type, row))
        if types not in self._seen:
            if not all(one in kinds for one, kinds in zip(types, self._kinds, strict=True)):
                raise ValueError("a value of another type")
            self._seen.add(types)
        if self._words:
            self._words[1](row[self._place])  # type: ignore[operator]  # of the type that was just checked
