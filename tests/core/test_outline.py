"""The outline of a delivery: the quick way and the careful one agree, and the documented shape goes the quick one."""

from __future__ import annotations

import json
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core import outline as outlines
from relay.core.outline import Outline, outline

Pairs: TypeAlias = list[tuple[str, object]]

DOCUMENTED = (
    b'{"type":"A","content":{"url":"https://a:1"},"meta":{"timeStamp":"2023-10-05T14:48:00","idempotencyKey":"i"}}'
)
TEXTS = st.sampled_from(["", "a", ":", "::", '"', "\\", '":"', "č", "2023-10-05T14:48:00", '{"type":1}', "k" * 1025])
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
META: st.SearchStrategy[Pairs] = st.lists(
    st.tuples(st.sampled_from(["idempotencyKey", "timeStamp", "x", "", ":"]), TEXTS | VALUES), max_size=4
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Write bodies that nearly have the documented shape: members missing, repeated, escaped, or of another kind."""
    space = draw(st.sampled_from(["", " ", "\n\t"]))

    def member(name: str, value: str) -> str:
        key = json.dumps(name)
        if name and draw(st.integers(0, 9)) == 0:
            key = f'"\\u{ord(name[0]):04x}{name[1:]}"'
        return f"{space}{key}{space}:{space}{value}"

    def written(value: object) -> str:
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    meta = draw(META | st.permutations([("idempotencyKey", "i"), ("timeStamp", "2023-10-05T14:48:00")]))
    inside = "{" + ",".join(member(name, written(value)) for name, value in meta) + "}"
    top = [("type", written(draw(TEXTS))), ("content", written(draw(VALUES))), ("meta", inside)]
    top += draw(st.lists(st.tuples(st.sampled_from(["type", "content", "y"]), VALUES.map(written)), max_size=1))
    return ("{" + ",".join(member(name, value) for name, value in draw(st.permutations(top))) + "}").encode()


def repeats(body: bytes) -> bool:
    """Tell, by the standard library's parser, whether a key stands twice at the top level or in `meta`."""
    top: Pairs = json.loads(body, object_pairs_hook=list)
    meta = dict(top)["meta"]
    assert isinstance(meta, list)
    return any(len({key for key, _ in pairs}) < len(pairs) for pairs in (top, meta))


@given(bodies())
@example(DOCUMENTED)
@example(DOCUMENTED.replace(b'"type":"A"', b'"type":"A","type":"A"'))
@example(
    DOCUMENTED.replace(b"14:48:00", b"14\\u003a48\\u003a00").replace(b'"type":"A"', b'"type":"A","type":"A","type":"A"')
)
@example(DOCUMENTED.replace(b'"timeStamp"', b'"timeStamp":"","timeStamp"'))
@example(DOCUMENTED.replace(b"2023-10-05T14:48:00", b"::").replace(b'{"timeStamp"', b'{"":"","timeStamp"'))
def test_the_quick_way_gives_what_the_careful_one_does(body: bytes) -> None:
    """Whatever the quick way is sure of, the careful one finds as well."""
    found = outlines._quick(body)
    if found is not None:
        assert found == outlines._careful(body)


@given(
    st.binary(max_size=60) | st.text(st.sampled_from('{}[]":,\\u0c1 a\x00é'), max_size=40).map(str.encode), st.data()
)
def test_the_quick_way_is_not_misled_by_any_bytes(piece: bytes, data: st.DataObject) -> None:
    """Bytes of any kind, anywhere in a documented body, are refused by both ways or read alike."""
    at = data.draw(st.integers(0, len(DOCUMENTED)))
    until = data.draw(st.integers(at, min(len(DOCUMENTED), at + 12)))
    body = DOCUMENTED[:at] + piece + DOCUMENTED[until:]
    try:
        body.decode()
    except ValueError:
        return
    found = outlines._quick(body)
    if found is not None:
        assert found == outlines._careful(body)


@given(bodies())
def test_a_key_that_stands_twice_is_never_read(body: bytes) -> None:
    """A body has no outline exactly when a key stands twice at the top level or in `meta`, however it is spelt."""
    try:
        outline(body)
    except ValueError:
        assert repeats(body)
    else:
        assert not repeats(body)


@pytest.mark.parametrize(
    "body",
    [
        DOCUMENTED,
        json.dumps(json.loads(DOCUMENTED), indent=2).encode(),
        json.dumps(json.loads(DOCUMENTED), sort_keys=True).encode(),
        DOCUMENTED.replace(b'{"url":"https://a:1"}', b'"{\\"url\\":\\"https://a:1\\"}"'),
        DOCUMENTED.replace(b"https", "č".encode()),
    ],
)
def test_the_documented_shape_goes_the_quick_way(body: bytes) -> None:
    """Documented deliveries, however they are laid out, are not read twice."""
    content = json.loads(body)["content"]
    found = outlines._quick(body)
    assert found is not None
    assert found[:3] == ("A", "i", "2023-10-05T14:48:00")
    assert json.loads(found.content or b"") == content


def test_what_is_missing_is_none() -> None:
    """Each member that is missing, empty or of another kind is None, and the others are found."""
    assert outline(b"{}") == Outline(None, None, None, None)
    assert outline(DOCUMENTED.replace(b'"A"', b"1")).type is None
    assert outline(DOCUMENTED.replace(b'"i"', b'""')) == outline(DOCUMENTED)._replace(id=None)
    assert outline(DOCUMENTED.replace(b'"i"', b'"%b"' % (b"i" * 1025))) == outline(DOCUMENTED)._replace(id=None)
    assert outline(DOCUMENTED.replace(b"2023-10-05T14:48:00", b"")).time_stamp is None
