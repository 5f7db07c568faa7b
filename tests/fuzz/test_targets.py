"""The fuzzer's laws hold for what it starts from and for what it once found, and notice what breaks them."""

from __future__ import annotations

import pytest

from relay.core.errors import Refusal, Rejected
from tests.fuzz.oracle import NotJSONError, read
from tests.fuzz.seeds import dictionary, seeds
from tests.fuzz.targets import TARGETS

FOUND = [
    ("config", b"---"),
    ("members", b'{"type":"a","content":null,"meta":"\\ude00"}'),
    (
        "routing",
        b'{"match": {"type": "*F%bd"}, "topics": ["a"]}\n{"type":"%b","content":{},"meta":{"idempotencyKey":"1"}}'
        % (b"*" * 40, b"F" + 60 * b"f"),
    ),
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_laws_hold_for_the_seeds(target: str) -> None:
    """Each target has seeds, and no law is broken by one of them."""
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize(("target", "text"), FOUND)
def test_what_was_found_once_is_in_order(target: str, text: bytes) -> None:
    """An input that broke a law breaks it no more."""
    TARGETS[target](text)


BREAKS = {
    "members": ("members", lambda _: []),
    "signature": ("signature.authenticate", lambda *_, **__: (_ for _ in ()).throw(Rejected(Refusal.BAD_SIGNATURE))),
    "pipeline": ("pipeline.encode_for", lambda *_: None),
    "envelope": ("cloudevents.encode", lambda event, *_: (_ for _ in ()).throw(KeyError(event.id))),
    "routing": ("legal_topic", lambda _: False),
    "doctor": ("diagnose", lambda *_: None),
    "gate": ("client_of", lambda _, forwarded, __: forwarded[0] if forwarded else None),
    "config": ("load", lambda *_: (_ for _ in ()).throw(IndexError())),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_notices(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that breaks its law raises in the target, whatever it is that is wrong."""
    name, broken = BREAKS[target]
    monkeypatch.setattr(f"tests.fuzz.targets.{name}", broken)
    with pytest.raises((AssertionError, LookupError, Rejected)):
        any(map(TARGETS[target], seeds(target)))


@pytest.mark.parametrize("text", [b"NaN", b"[1,]", b"\xff", b'{"a":1}{}', b"", b"[" * 100_000])
def test_the_oracle_knows_what_is_no_json(text: bytes) -> None:
    """The standard library's parser is read strictly: what JSON's grammar does not have is none."""
    with pytest.raises(NotJSONError):
        read(text)


def test_every_word_of_the_dictionary_is_one_line() -> None:
    """What libFuzzer reads is one quoted word a line."""
    assert all(line.startswith('"') and line.endswith('"') for line in dictionary().splitlines())
