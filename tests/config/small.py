"""The smallest configuration, for tests to add to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.config import Config, Faulty, load

if TYPE_CHECKING:
    from pathlib import Path

KEY = "158b08cc-6a06-49f2-a724-2bc514fdcf1e"

SMALL = """\
version: 1
sources: {{contoso: {{path: /hooks, keys: [{key}]}}}}
kafka: {{bootstrap_servers: ["localhost:9092"]{kafka}}}
routes: [{{name: all, topics: [syskit.all]}}]
"""


def read(file: Path, more: str = "", *, key: str = '"${KEY}"', kafka: str = "", **environ: str) -> Config:
    """Load the smallest configuration with something added to it."""
    file.write_text(SMALL.format(key=key, kafka=kafka) + more)
    return load(file, {"KEY": KEY} | environ)


def sentences(file: Path, more: str = "", *, key: str = '"${KEY}"', kafka: str = "", **environ: str) -> list[str]:
    """List the faults of the smallest configuration with something added to it, as `path: what`."""
    with pytest.raises(Faulty) as caught:
        read(file, more, key=key, kafka=kafka, **environ)
    return [f"{fault.path}: {fault.what}" for fault in caught.value.faults]
