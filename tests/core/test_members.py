"""Members, depth and repeated keys of JSON texts, held against the standard library's parser."""

from __future__ import annotations

import json
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.members import deeper_than, members, repeats_key

Pairs: TypeAlias = list[tuple[str, object]]

KEYS = st.sampled_from(["content", "type", 'a"b', "\\", "{", "č", ":"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.tuples(KEYS, VALUES), max_size=5)
SPACE = st.sampled_from(["", " ", "\t\r\n "])
HOSTILE = st.text(st.sampled_from('{}[]":,\\u0c1 a\x00é'), max_size=40).map(str.encode) | st.binary(max_size=40)


def written(pairs: Pairs, space: str, *, ascii_only: bool) -> bytes:
    """Write an object as JSON, repeated keys included."""
    inside = (
        f"{space}{json.dumps(key, ensure_ascii=ascii_only)}{space}:{space}"
        f"{json.dumps(value, ensure_ascii=ascii_only, indent=1 if space else None)}{space}"
        for key, value in pairs
    )
    return f"{space}{{{','.join(inside) or space}}}{space}".encode()


@given(pairs=OBJECTS, space=SPACE, ascii_only=st.booleans())
def test_finds_what_a_parser_finds(pairs: Pairs, space: str, ascii_only: bool) -> None:
    """Keys and values, in order and with repeats, are those the standard library's parser finds."""
    text = written(pairs, space, ascii_only=ascii_only)
    found = [(member.key, json.loads(text[member.start : member.end])) for member in members(text)]
    assert found == pairs
    assert all(text[member.start : member.end] == text[member.start : member.end].strip() for member in members(text))


@given(pairs=OBJECTS, space=SPACE, ascii_only=st.booleans())
def test_a_repeated_key_is_seen_exactly_when_there_is_one(pairs: Pairs, space: str, ascii_only: bool) -> None:
    """`repeats_key` is true exactly when two members of the object itself share a key."""
    text = written(pairs, space, ascii_only=ascii_only)
    kept = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    assert repeats_key(text, kept) is (len({key for key, _ in pairs}) < len(pairs))


@given(HOSTILE)
def test_any_bytes_have_members_or_a_value_error(text: bytes) -> None:
    """No bytes raise anything but ValueError, and what valid JSON gives is what the parser gives."""
    try:
        found = members(text)
    except ValueError:
        found = None
    try:
        parsed = json.loads(text.decode(), object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        return
    if text.lstrip(b" \t\r\n").startswith(b"{"):
        assert found is not None
        assert [member.key for member in found] == [key for key, _ in parsed]
    else:
        assert found is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"a"',
        b"{",
        b"{}{}",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{"a":[}',
        b'{"a":"b}',
        b'{"a":{"b":"}}',
        b"{a:1}",
        b'{"a":1 "b":2}',
        b'{"\xff":1}',
        b'{"\\ud800":1}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_object_is_refused(text: bytes) -> None:
    """What is not one whole object has no members."""
    with pytest.raises(ValueError):  # noqa: PT011 - the contract names no subclass
        members(text)


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([b"[", b'{"a":']))
def test_depth_is_the_number_of_brackets_open_at_once(depth: int, limit: int, opening: bytes) -> None:
    """A text nests deeper than the limit exactly when more brackets than that are open at once."""
    text = opening * depth + b'"]]][[[{\\"{{{{"' + (b"]" if opening == b"[" else b"}") * depth
    assert deeper_than(text, limit) is (depth > limit)
    assert not deeper_than(b"[" + b"[],{}," * 200 + b"1]", 2)


@pytest.mark.parametrize("piece", [b'"\\"', b'"', b"[", b'{"a":', b'{"a":[],"b":"\\\\"},', b"\\", b'"",', b"[],"])
def test_hostile_bytes_take_linear_time_and_no_stack(piece: bytes) -> None:
    """A megabyte of what trips scanners up is answered without recursion, well inside the test's time."""
    for text in (piece * (2**20 // len(piece)), b'{"content":[' + piece * (2**20 // len(piece))):
        with pytest.raises(ValueError):  # noqa: PT011 - the contract names no subclass
            members(text)
        deeper_than(text, 64)
