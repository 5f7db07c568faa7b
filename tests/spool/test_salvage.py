"""The salvage of a file that is whole: nothing is lost, however many rows it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.spool import Journal
from relay.spool.file import connect_reader
from relay.spool.salvage import salvage
from tests.spool.samples import FLIGHT, NOW, append, dump, entry, opened, published, settle

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_more_rows_than_one_transaction_takes_are_all_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of every table is in the new file, and the old one stands beside it by the time of day."""
    monkeypatch.setattr("relay.spool.salvage.TOGETHER", 7)
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(30)))
        settle(store, *(published(number) for number in range(1, 21)))
        store.commit((), [Journal(flights=(FLIGHT,) * 9)], NOW)
    whole = dump(path)
    salvaged = salvage(path, connect_reader(path), 30)
    assert (salvaged.kept, salvaged.lost, salvaged.damaged) == (30, 0, ())
    kept = dump(path)
    assert {table: rows for table, rows in kept.items() if table != "totals"} == {
        table: rows for table, rows in whole.items() if table != "totals"
    }
    assert salvaged.aside is not None
    assert re.fullmatch(r"spool\.db\.damaged-\d{8}T\d{6}Z", salvaged.aside.name)
