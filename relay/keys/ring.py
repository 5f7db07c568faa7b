"""Ring: what is known of one source's keys, and which of them are good. Pure: the time is handed in."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from relay.core.model import Key
from relay.core.signature import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FETCHED = 16
"""So many fetched keys are held at most, as each costs a forger's request an HMAC: who never signed leaves first."""


class LeakedError(Exception):
    """A key was given again that was retired by hand."""


class State(enum.StrEnum):
    """How a key stands: good, good until its end, or never again."""

    CURRENT = "current"
    RETIRING = "retiring"
    RETIRED = "retired"


class FetchedKey(msgspec.Struct, frozen=True):
    """A key that Syskit Point gave, and when it ends; None while it is Syskit Point's. Times are since the epoch."""

    secret: bytes
    retires_at: float | None = None

    @property
    def id(self) -> str:
        """The fingerprint."""
        return fingerprint(self.secret)

    def __repr__(self) -> str:
        return f"FetchedKey({self.id}, {self.retires_at})"


class KeyRow(msgspec.Struct, frozen=True):
    """One key as an operator sees it, by its fingerprint. `retires_at` of a retired one is when it was.

    `origins` says where it came from: configured, fetched, both, or none for one that is only remembered as retired.
    """

    source: str
    fingerprint: str
    state: State
    origins: tuple[str, ...]
    first_seen: float | None
    last_used: float | None
    retires_at: float | None


class Ring(msgspec.Struct, frozen=True):
    """The fetched keys, the newest last; the fingerprints retired by hand; and when any was first seen and last used.

    The configured keys are handed in where they matter, since the configuration has them.
    """

    fetched: tuple[FetchedKey, ...] = ()
    retired: dict[str, float] = {}
    first_seen: dict[str, float] = {}
    last_used: dict[str, float] = {}

    def serving(self, *, fetches: bool) -> Ring:
        """Give what counts of it for a source that fetches its key, or does not: then no fetched key is good."""
        return self if fetches else msgspec.structs.replace(self, fetched=())

    def good(self, configured: Sequence[Key], now: float) -> tuple[Key, ...]:
        """Give the keys that deliveries may be signed with, each once."""
        fetched = (Key(key.id, key.secret) for key in self.fetched if not _is_over(key, now))
        keys = {key.id: key for key in (*configured, *fetched) if key.id not in self.retired}
        return tuple(keys.values())

    def over(self, configured: Sequence[Key], now: float) -> tuple[Key, ...]:
        """Give the keys that are held and not good any more: retired by hand, or past their end."""
        good = {key.id for key in self.good(configured, now)}
        held = (*configured, *(Key(key.id, key.secret) for key in self.fetched))
        return tuple({key.id: key for key in held if key.id not in good}.values())

    def take(self, secret: bytes, now: float, overlap: float) -> Ring:
        """Take the key that Syskit Point has now: good at once. The one before it stays good for `overlap` seconds.

        Raises `LeakedError` for one that was retired by hand; then nothing changes.
        """
        taken = FetchedKey(secret)
        if taken.id in self.retired:
            raise LeakedError(taken.id)
        others = [
            FetchedKey(key.secret, now + overlap) if key.retires_at is None else key
            for key in self.fetched
            if key.secret != secret
        ]
        others.sort(key=lambda key: (key.id in self.last_used, key.retires_at or 0.0))
        kept = sorted(others[-(MAX_FETCHED - 1) :], key=lambda key: key.retires_at or 0.0)
        return msgspec.structs.replace(self, fetched=(*kept, taken)).swept((), now)

    def retire(self, key_id: str, now: float) -> Ring:
        """Retire a key by hand, for ever, whoever gives it again."""
        return msgspec.structs.replace(
            self,
            fetched=tuple(key for key in self.fetched if key.id != key_id),
            retired={**self.retired, key_id: self.retired.get(key_id, now)},
        )

    def swept(self, configured: Sequence[Key], now: float) -> Ring:
        """Let fetched keys go whose end has come, and note when those that are left were first seen."""
        fetched = tuple(key for key in self.fetched if not _is_over(key, now) and key.id not in self.retired)
        ids = (*(key.id for key in configured), *(key.id for key in fetched))
        seen = self.first_seen | {key_id: self.first_seen.get(key_id, now) for key_id in ids}
        return msgspec.structs.replace(self, fetched=fetched, first_seen=seen)

    def forgotten(self, configured: Sequence[Key]) -> Ring:
        """Forget when those were seen and used that are neither good nor retired, so that it does not grow."""
        known = {key.id for key in configured} | {key.id for key in self.fetched} | self.retired.keys()
        return msgspec.structs.replace(
            self,
            first_seen={key_id: at for key_id, at in self.first_seen.items() if key_id in known},
            last_used={key_id: at for key_id, at in self.last_used.items() if key_id in known},
        )

    def next_end(self) -> float | None:
        """Tell when the next fetched key ends."""
        return min((key.retires_at for key in self.fetched if key.retires_at is not None), default=None)

    def rows(self, source: str, configured: Sequence[Key], now: float) -> list[KeyRow]:
        """Tell every key, good ones first, then those retired by hand."""
        ends = {key.id: key.retires_at for key in self.fetched}
        ids = [key.id for key in configured]
        rows = []
        for key in self.good(configured, now):
            origins = (*["configured"] * (key.id in ids), *["fetched"] * (key.id in ends))
            end = None if key.id in ids else ends[key.id]
            state = State.CURRENT if end is None else State.RETIRING
            rows.append(self._row(source, key.id, state, origins, end))
        for key_id, at in self.retired.items():
            origins = ("configured",) if key_id in ids else ()
            rows.append(self._row(source, key_id, State.RETIRED, origins, at))
        return rows

    def _row(self, source: str, key_id: str, state: State, origins: tuple[str, ...], end: float | None) -> KeyRow:
        seen, used = self.first_seen.get(key_id), self.last_used.get(key_id)
        return KeyRow(source, key_id, state, origins, seen, used, end)


def _is_over(key: FetchedKey, now: float) -> bool:
    return key.retires_at is not None and key.retires_at <= now
