"""The doctor finds each usual mistake, and the fewest of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import uuid
from datetime import UTC

import pytest

from relay.core.doctor import diagnose, sentence_of
from relay.core.doctor.message import MAX_MESSAGE
from relay.core.doctor.variant import BOM
from relay.core.model import Key, Signs, Source
from relay.core.signature import authenticate, sign

GUID = "158b08cc-6a06-49f2-a724-2bc514fdcf1e"
KEY = GUID.encode()
OTHER = "0f8fad5b-d9cb-469f-a165-70867728950e"
EVENT = {"type": "Prüfung", "meta": {"timeStamp": "2023-10-05T14:48:00", "idempotencyKey": "k"}, "content": {"n": "é"}}
BODY = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()


def source(name: str = "contoso", secret: bytes = KEY, signs: Signs = Signs.BODY) -> Source:
    """Give a source with one key."""
    return Source(name, f"/{name}", f"urn:{name}", (Key("k1", secret),), signs, UTC)


def mistakes(signature: str | list[str], body: bytes = BODY, *sources: Source) -> list[str]:
    """Give what the doctor finds, in its own words."""
    signatures = signature if isinstance(signature, list) else [signature]
    found = diagnose(sources or (source(),), signatures, body)
    assert found is not None
    return [mistake.what for mistake in found.mistakes]


def by(secret: bytes, message: bytes = BODY, name: str = "sha256") -> str:
    """Sign in any way."""
    return base64.b64encode(hmac.digest(secret, message, name)).decode()


def test_what_is_authentic_has_no_mistake() -> None:
    """The doctor and the one who decides agree."""
    assert mistakes(sign(KEY, BODY)) == []


def test_a_forgery_is_nothing_that_it_knows() -> None:
    """No diagnosis where nothing fits, whatever the header holds."""
    for signature in (sign(b"another", BODY), "", "nonsense", "ü", "=" * 44, "0" * 64):
        assert diagnose([source()], [signature], BODY) is None
    assert diagnose([source()], [], BODY) is None


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (uuid.UUID(GUID).bytes, "big-endian"),
        (uuid.UUID(GUID).bytes_le, ".NET orders them"),
        (GUID.upper().encode(), "in upper case"),
        (f"{{{GUID}}}".encode(), "in braces"),
        (f"{{{GUID.upper()}}}".encode(), "in braces, in upper case"),
        (GUID.replace("-", "").encode(), "without hyphens"),
        (f'"{GUID}"'.encode(), "in quotes"),
        (KEY + b"\n", "a newline"),
        (KEY + b"\r\n", "CR and LF"),
        (BOM + KEY, "a byte order mark"),
        (KEY + b" ", "a space"),
        (BOM + KEY + b"\n", "a byte order mark and a newline"),
        (GUID.encode("utf-16-le"), "in UTF-16"),
        (base64.b64encode(KEY), "in base64"),
    ],
)
def test_the_sender_made_something_else_of_the_key(secret: bytes, said: str) -> None:
    """The key's text is what signs; each usual misreading is named."""
    (what,) = mistakes(by(secret))
    assert said in what


@pytest.mark.parametrize("around", [KEY + b"\n", b" " + KEY, BOM + KEY, KEY + b"\r\n"])
def test_the_relay_has_something_around_its_key(around: bytes) -> None:
    """What an editor or `echo` puts around a secret is found on this side too."""
    (what,) = mistakes(by(KEY), BODY, source(secret=around))
    assert what.startswith("the relay's key has white space")


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (hmac.digest(KEY, BODY, "sha256").hex(), "hexadecimal"),
        (hmac.digest(KEY, BODY, "sha256").hex().upper(), "hexadecimal"),
        ("sha256=" + hmac.digest(KEY, BODY, "sha256").hex(), "hexadecimal"),
        (base64.b64encode(hmac.digest(KEY, BODY, "sha256").hex().encode()).decode(), "base64 of hexadecimal"),
        (by(KEY).rstrip("="), "without its padding"),
        (f'"{by(KEY)}"', "in quotes"),
        ([by(KEY), by(KEY)], "stands 2 times"),
        (f"{by(KEY)}, {by(KEY)}", "stands 2 times"),
        ([by(b"older"), by(KEY)], "stands 2 times"),
    ],
)
def test_the_signature_is_written_otherwise(signature: str | list[str], said: str) -> None:
    """The digest is right, and its spelling is not."""
    (what,) = mistakes(signature)
    assert said in what


def test_base64url_is_told_from_base64() -> None:
    """A digest whose base64 has one of the two signs in which they differ."""
    body = next(body for n in range(1000) if set("+/") & set(by(KEY, body := b'{"n":%d}' % n)))
    (what,) = mistakes(by(KEY, body).replace("+", "-").replace("/", "_"), body)
    assert "base64url" in what


@pytest.mark.parametrize("name", ["sha1", "sha512", "sha384", "md5"])
def test_another_algorithm_made_it(name: str) -> None:
    """The name of the algorithm is told."""
    assert mistakes(by(KEY, BODY, name)) == [f"it was made by HMAC-{name.upper()}"]


def test_what_is_no_hmac_is_named() -> None:
    """A plain hash, with the key in front or without."""
    for made in (hashlib.sha256(BODY), hashlib.sha256(KEY + BODY)):
        (what,) = mistakes(base64.b64encode(made.digest()).decode())
        assert "SHA256" in what


def test_the_other_reading_of_signs() -> None:
    """The content in place of the body, and the body in place of the content."""
    content = json.dumps(EVENT["content"], ensure_ascii=False, separators=(",", ":")).encode()
    assert mistakes(by(KEY, content)) == ["the sender signs the content"]
    assert mistakes(by(KEY), BODY, source(signs=Signs.CONTENT)) == ["the sender signs the body"]


def _written(**how: object) -> bytes:
    return json.dumps(EVENT, **how).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        (_written(indent=2, ensure_ascii=False), "indented by 2"),
        (_written(indent=4, ensure_ascii=False), "indented by 4"),
        (_written(indent=2, ensure_ascii=False).replace(b"\n", b"\r\n"), "lines in CR and LF"),
        (_written(ensure_ascii=False), "a space behind each sign"),
        (_written(sort_keys=True, ensure_ascii=False, separators=(",", ":")), "its keys sorted"),
        (_written(separators=(",", ":")), "what is not ASCII escaped"),
        (BODY + b"\n", "ended in a newline"),
        (BODY + b"\r\n", "ended in CR and LF"),
        (BOM + BODY, "a byte order mark"),
        (BODY.decode().encode("utf-16-le"), "UTF-16-LE"),
        (BODY.decode().encode("utf-16-be"), "UTF-16-BE"),
        (BODY.decode().encode("utf-16"), "UTF-16 with a byte order mark"),
        (_written(indent=2, ensure_ascii=False).replace(b"\n", b"\r\n") + b"\r\n", "CR and LF"),
    ],
)
def test_what_came_is_not_what_was_signed(signed: bytes, said: str) -> None:
    """What a gateway does that reads and writes JSON, or a sender that writes it once to sign and once to send."""
    (what,) = mistakes(by(KEY, signed))
    assert what.startswith("what came is not what was signed")
    assert said in what


VENDORS = [
    b'{"type":"T","content":{"name":"M","type":"MicrosoftTeams",%b},"meta":{"timeStamp":"t","idempotencyKey":"k"%b}}'
    % pair
    for pair in (
        (b'"requestedOn":"2023-10-05T14:48:00","requesterId":"0f8f"', b""),
        (b'"url":"https://contoso/sites/m","microsoftId":"0f8f"', b""),
        (b'"error":"no","correlationId ":"0f8f"', b""),
        (b'"error":"no","a":[{"b":1}],"c":2', b',"d":3'),
    )
]


@pytest.mark.parametrize("sent", VENDORS)
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_proxy_sorted_the_keys(sent: bytes, ascii_only: bool, indent: int | None) -> None:
    """What was signed had the vendor's order, and what the vendor does not document behind it."""
    value = json.loads(sent.replace(b'"M"', '"é"'.encode()))
    separators = (",", ": ") if indent else (",", ":")
    signed = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators).encode()
    came = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    (what,) = mistakes(by(KEY, signed), came)
    assert "its keys in the vendor's order" in what
    assert ("escaped" in what) is ascii_only


def test_a_proxy_sorted_the_keys_of_a_signed_content() -> None:
    """The content by itself has an order too."""
    signed = b'{"name":"M","type":"MicrosoftTeams","url":"https://c/sites/m","microsoftId":"0f8f"}'
    came = b'{"content":%s}' % json.dumps(json.loads(signed), sort_keys=True, separators=(",", ":")).encode()
    (what,) = mistakes(by(KEY, signed), came, source(signs=Signs.CONTENT))
    assert "its keys in the vendor's order" in what


TEXT = json.loads(r'"Prüfung \"a\" & <b> \ud83d\ude00 it\u0027s /x"')


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        (rb'''"Pr\u00FCfung \u0022a\u0022 \u0026 \u003Cb\u003E \uD83D\uDE00 it\u0027s /x"''', "System.Text.Json"),
        (rb'''"Pr\u00FCfung \"a\" & <b> \uD83D\uDE00 it's /x"''', "not ASCII escaped in upper case"),
        (rb'''"Pr\u00fcfung \"a\" & <b> \ud83d\ude00 it's /x"''', "not ASCII escaped"),
        (r'''"Prüfung \"a\" \u0026 \u003cb\u003e 😀 it's /x"'''.encode(), "as Go does"),
        (r'''"Prüfung \"a\" \u0026 \u003cb\u003e 😀 it\u0027s /x"'''.encode(), "as Gson does"),
        (rb'''"Pr\u00fcfung \"a\" & <b> \ud83d\ude00 it's \/x"''', "as PHP does"),
        (r'''"Prüfung \"a\" & <b> 😀 it's \/x"'''.encode(), "its slashes escaped"),
    ],
)
def test_each_encoder_has_its_own_escapes(signed: bytes, said: str) -> None:
    """A gateway that unescapes, in front of a sender whose encoder escapes, by the encoder's name."""
    came = json.dumps({"t": TEXT}, ensure_ascii=False, separators=(",", ":")).encode()
    (what,) = mistakes(by(KEY, b'{"t":' + signed + b"}"), came)
    assert said in what


def test_what_came_as_utf_16() -> None:
    """Signed as UTF-8, and recoded by what is in front."""
    for name in ("utf-16", "utf-16-le", "utf-16-be"):
        (what,) = mistakes(by(KEY), BODY.decode().encode(name))
        assert "came as UTF-16" in what


def test_a_content_in_another_form() -> None:
    """Two mistakes: the content alone is signed, and as another encoder writes it."""
    whats = mistakes(by(KEY, rb'{"n":"\u00E9"}'))
    assert whats[0] == "the sender signs the content"
    assert "upper case" in whats[1]


def test_white_space_that_came_on_the_way() -> None:
    """What was signed is inside of what came."""
    (what,) = mistakes(by(KEY), b"\n" + BODY + b"\r\n\r\n")
    assert "no white space around it" in what


def test_the_key_of_another_source() -> None:
    """A delivery of one source, posted to the path of another."""
    fabrikam = source("fabrikam", b"fabrikam's own")
    assert mistakes(by(b"fabrikam's own"), BODY, source(), fabrikam) == [
        "it is signed with a key of the source fabrikam"
    ]


def test_two_mistakes_at_once() -> None:
    """The GUID's bytes, and hexadecimal digits."""
    whats = mistakes(hmac.digest(uuid.UUID(GUID).bytes_le, BODY, "sha256").hex())
    assert len(whats) == 2
    assert any("hexadecimal" in what for what in whats)
    assert any(".NET" in what for what in whats)


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b"\xff\xfe", b'{"n":' + b"9" * 5000 + b"}", b"NaN", b'"\\ud800"']
)
def test_any_body_at_all(body: bytes) -> None:
    """No body makes it fail, and one that is authentic is so."""
    assert mistakes(sign(KEY, body), body) == []
    assert diagnose([source()], [sign(b"another", body)], body) is None


def test_a_large_body_is_tried_as_it_came_only() -> None:
    """Every form of a large body would be copied dozens of times."""
    body = b'{"n":"' + b"a" * MAX_MESSAGE + b'"}'
    assert mistakes(sign(KEY, body), body) == []
    assert diagnose([source()], [by(KEY, body + b"\n")], body) is None
    assert "256 KiB is too large to be tried in other forms" in sentence_of(None, len(body))
    assert "in practice explains it" in sentence_of(None, MAX_MESSAGE)


def asked(allowed: int, signature: str, body: bytes, *sources: Source) -> list[str] | None:
    """Give what the doctor finds who may go on so many times."""
    left = iter(range(allowed))
    found = diagnose(sources, [signature], body, lambda: next(left, None) is not None)
    return found and [mistake.what for mistake in found.mistakes]


OLDER = [str(uuid.UUID(int=number)).encode() for number in range(8)]
MANY = Source(
    "contoso", "/contoso", "urn:contoso", tuple(Key(key.decode(), key) for key in (*OLDER, KEY)), Signs.BODY, UTC
)


def test_a_single_mistake_is_found_before_two() -> None:
    """Of nine keys the last: what is wrong with it, the algorithm, a key that was lent, and then the message."""
    lender = source("fabrikam", b"fabrikam's own")
    for signature in (by(GUID.upper().encode()), by(KEY, BODY, "md5"), by(b"fabrikam's own")):
        whats = asked(400, signature, BODY, MANY, lender)
        assert whats is not None
        assert len(whats) == 1
    whats = asked(5000, by(KEY, json.dumps(EVENT, indent=4).encode()), BODY, MANY, lender)
    assert whats is not None
    assert len(whats) == 1


def test_a_key_that_was_lent_is_found_with_a_mistake_of_its_own() -> None:
    """Both are told: whose key it is, and what was made of it or of the message."""
    lender = source("fabrikam", OTHER.encode())
    for signature, said in ((by(OTHER.upper().encode()), "upper case"), (by(OTHER.encode(), BODY + b"\n"), "newline")):
        whats = mistakes(signature, BODY, source(), lender)
        assert whats[0] == "it is signed with a key of the source fabrikam"
        assert len(whats) == 2
        assert said in whats[1]


def test_what_it_found_is_given_when_it_may_not_go_on() -> None:
    """Two mistakes, of which the fewest there are is not certain yet; and nothing where nothing was found yet."""
    signature = hmac.digest(GUID.upper().encode(), BODY, "sha256").hex()
    tried = [asked(allowed, signature, BODY, source()) for allowed in (0, 40, 10_000)]
    assert tried == [None, mistakes(signature), mistakes(signature)]
    assert len(mistakes(signature)) == 2


@pytest.mark.parametrize(
    ("signature", "most"), [(by(GUID.upper().encode()), 400), (by(KEY, BODY + b"\n"), 5_000)], ids=["key", "message"]
)
def test_it_ends_when_nothing_with_fewer_mistakes_can_come(signature: str, most: int) -> None:
    """A single mistake is not followed by the rest of what has one, nor by tens of thousands of tries with two."""
    times = itertools.count()
    assert diagnose([MANY], [signature], BODY, lambda: next(times) >= 0)
    assert next(times) < most


def test_no_key_is_in_what_it_says() -> None:
    """Neither the key nor any form of it."""
    found = diagnose([source()], [by(GUID.upper().encode())], BODY)
    assert GUID not in repr(found).lower()


def test_it_agrees_with_who_decides() -> None:
    """Whatever `authenticate` lets through has no mistake, also under a second key."""
    two = Source("contoso", "/c", "urn:c", (Key("k1", b"one"), Key("k2", KEY)), Signs.BODY, UTC)
    signed = sign(KEY, BODY)
    found = diagnose([two], [signed], BODY)
    delivery = authenticate(two, [signed], BODY, algorithms=(), received_at=0.0, traceparent=None)
    assert (found.key_id, found.mistakes) == (delivery.key_id, ())  # type: ignore[union-attr]
