"""What operators ask for, as values and as JSON: where the admin listener of a running relay takes them, with POST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST, FETCH, RETIRE = "/keys/list", "/keys/fetch", "/keys/retire"


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of every source, or of one."""

    source: str | None = None


class Fetching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fetch the key of every source that has one to fetch, or of one; then list."""

    source: str | None = None


class Retiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let a key never be good again, in every source that has it, or in one; then list."""

    fingerprint: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    source: str | None = None


KeysAsked = Listing | Fetching | Retiring
KEY_PAGES: Mapping[str, type[Listing | Fetching | Retiring]] = {LIST: Listing, FETCH: Fetching, RETIRE: Retiring}
