"""Laws of the configuration: any file is either read or told to be faulty, and no secret gets out."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.config import Config, Faulty, load
from relay.config.syntax import split
from tests.config.small import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

MANUAL = (Path(__file__).parents[2] / "config" / "relay.yaml").read_text()
# With the example of Syskit Point's API, which stands in comments, in force.
WHOLE = MANUAL.replace("    point: null\n", "").replace("    #   url:", "    point:\n    #   url:")
LINES = WHOLE.replace("    #   ", "      ").replace("${file:/run/secrets/point_client}", "${KEY}").splitlines()
SECRET = "9f86d081-884c-4d63-8c7d-59ab0c55ad01"

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("${KEY}")
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
sections = st.sampled_from(
    ["version", "listen", "admin", "sources", "kafka", "envelope", "routes", "ack", "stop", "log", "dedupe", "spool"]
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Give one file for all examples."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "relay.yaml"


def outcome(place: Path, content: bytes) -> Config | Faulty:
    """Load what a file would hold; every fault is whole and stands inside the file."""
    place.write_bytes(content)
    try:
        return load(place, {"SYSKIT_POINT_KEY": KEY, "KEY": KEY})
    except Faulty as caught:
        faulty = caught
    lines = split(content.decode("utf-8-sig", errors="replace"))
    for fault in faulty.faults:
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.col <= len(lines[fault.line - 1]) + 1
        assert fault.what
        assert "Input should" not in fault.what, "a sentence of pydantic's own"
    assert faulty.render(color=False)
    return faulty


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(content=b"\xef\xbb\xbf")
@example(content=b"? \n")
@example(content=b"a: &a\n  b: *a\n")
@example(content=b"---")
@example(content=b"%YAML 9.9\n---\n")
def test_any_bytes_are_read_or_faulty(place: Path, content: bytes) -> None:
    """No file makes a traceback, whatever is in it."""
    outcome(place, content)


@given(tree=st.dictionaries(sections, trees))
def test_any_tree_is_read_or_faulty(place: Path, tree: dict[str, object]) -> None:
    """No value in any place makes a traceback."""
    outcome(place, yaml.safe_dump(tree, allow_unicode=True).encode())


def test_the_whole_manual_is_read(place: Path) -> None:
    """The file that the slips are made in is a good one, with every section."""
    config = outcome(place, "\n".join(LINES).encode())
    assert isinstance(config, Config)
    assert config.points["contoso"].register


@settings(max_examples=200)
@given(
    number=st.integers(0, len(LINES) - 1),
    old=st.sampled_from([":", " ", "[", "]", "{", "}", '"', "1", "e"]),
    new=st.text(max_size=5),
)
def test_a_slip_in_the_manual_is_read_or_faulty(place: Path, number: int, old: str, new: str) -> None:
    """One slip of the pen in a good file makes no traceback."""
    lines = list(LINES)
    lines[number] = lines[number].replace(old, new, 1)
    outcome(place, "\n".join(lines).encode("utf-8", "replace"))


@settings(max_examples=200)
@given(
    number=st.integers(0, len(LINES) - 1),
    old=st.sampled_from([":", " ", "[", "]", "{", "}", '"', "1", "e"]),
    new=st.text(max_size=5),
)
def test_a_literal_key_is_never_shown(place: Path, number: int, old: str, new: str) -> None:
    """A key written into the file is in no output, wherever else in the file the slip is."""
    text = "\n".join(LINES).replace(re.search(r'"\$\{SYSKIT.*\}"', "\n".join(LINES))[0], SECRET)  # type: ignore[index]
    text = text.replace('"${KEY}"', SECRET).replace("webhooks/contoso   #", f"webhooks/contoso?code={SECRET}   #")
    assert text.count(SECRET) == 3
    lines = text.splitlines()
    lines[number] = lines[number].replace(old, new, 1)
    said = outcome(place, "\n".join(lines).encode("utf-8", "replace"))
    assert SECRET not in (str(said) if isinstance(said, Faulty) else repr(said))
