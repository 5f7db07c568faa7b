"""Books: the running totals of a spool held against its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relay.spool import Census, Row, Tally


@dataclass(frozen=True, slots=True)
class Books:
    """What was read: the totals before and after the rows were counted, and the rows by status.

    A relay may be at work meanwhile, a page at a time goes by, and the rows counted are those accepted
    before. So each count must lie between what the two totals allow, which at rest is one number.
    """

    before: Tally
    after: Tally
    rows: Mapping[Status, int]

    def faults(self) -> Iterator[str]:
        """Give a sentence for each thing that does not add up."""
        first, last = self.before.now, self.after.now
        if first.accepted != self.before.last_number:
            yield f"{first.accepted} were accepted by the totals, the last number given is {self.before.last_number}"
        if last.lost:
            yield f"{last.lost} were lost with a damaged file: what can be read of it is in the .damaged file beside it"
        dropped = last.dropped - first.dropped
        settled = first.published + first.dropped
        settled_later = last.published + last.dropped
        bounds = (
            ("pending", first.pending - (last.settled - first.settled), first.pending),
            ("dead", first.dead - dropped, last.dead + dropped),  # of those dropped some may have been withdrawn
            ("published and dropped", settled - last.gone, settled_later - first.gone),
        )
        for (name, least, most), found in zip(bounds, self._found(), strict=True):
            if not least <= found <= most:
                due = str(least) if least == most else f"between {least} and {most}"
                yield f"{found} {name} deliveries stand in the spool, by the totals it should be {due}"

    def _found(self) -> tuple[int, int, int]:
        rows = self.rows
        return rows[Status.PENDING], rows[Status.DEAD], rows[Status.PUBLISHED] + rows[Status.DROPPED]


def add_up(census: Census, on_page: Callable[[Sequence[Row]], None]) -> Books:
    """Count every row of a spool, showing each page to `on_page` on the way. Raises `Unavailable`."""
    before = census.tally()
    found: Counter[Status] = Counter()
    for page in census.deliveries(before.now.accepted):
        found.update(row.status for row in page)
        on_page(page)
    return Books(before, census.tally(), found)
