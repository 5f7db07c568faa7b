"""The laws of the pure core: each target takes any bytes, and raises when a law is broken.

What the contract of a function allows it to raise is allowed here, and nothing else is caught.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from fnmatch import fnmatchcase
from ipaddress import ip_network
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import msgspec

from relay.config import Faulty, load
from relay.core import cloudevents, pipeline, signature
from relay.core.doctor import diagnose, sentence_of
from relay.core.errors import Reason, Rejected, Undeliverable
from relay.core.gate import client_of, is_in, neighbourhood
from relay.core.members import deeper_than, members, repeats_key
from relay.core.model import Envelope, Event, Mode, Signs
from relay.core.outline import MAX_DEPTH, MAX_ID
from relay.core.routing import RuleError, Unrouted, compile_route, route
from relay.core.routing.explanation import Verdict
from relay.core.routing.index import Index
from relay.core.routing.path import MISSING, value_at
from relay.core.routing.template import legal_topic
from relay.core.ruling import rule_on
from relay.core.syskit import parse
from tests.core.samples import CONTENT_SOURCE, SOURCE, deliver
from tests.fuzz.oracle import Members, NotJSONError, depth_of, is_plain, only, read, repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.core.model import Delivery, Record, Route, Source
    from relay.core.routing import Routed

ENVELOPES = (Envelope(), Envelope(Mode.BINARY, ""))
RULES: dict[str, dict[str, object]] = {
    "silence": {"match": {"type": {"any": ["Heart*t", {"prefix": "Ping"}, {"suffix": "Pong"}]}}, "drop": True},
    "typed": {
        "match": {"content.n": {"in": [1, True, None, "1", 0.5]}, "content.a.b": {"not": {"exact": 1}}},
        "topics": ["n.{content.n}", "n-{type:kebab}"],
        "key": "{content.a.b}/{subject}",
        "continue": True,
    },
    "failures": {"match": {"type": "*Failed"}, "topics": ["ops.{type:kebab}"], "key": "{type}", "continue": True},
    "named": {"match": {"content.name": {"exists": True}}, "topics": ["syskit.{content.type}"]},
    "by-type": {"match": {"type": {"all": ["*", {"not": "Unknown"}]}}, "topics": ["syskit.{type}"]},
}
ROUTES = tuple(compile_route(name, rule) for name, rule in RULES.items())
INDEX = Index(ROUTES)
DOCTORED = 50  # messages that the doctor tries
PROXIES = tuple(ip_network(network) for network in ("10.0.0.0/8", "fd00::/8", "192.0.2.1/32"))


def check_members(text: bytes) -> None:
    """Members, depth and repeats of valid JSON are those a parser finds; other bytes give a ValueError or anything."""
    try:
        found = members(text)
    except ValueError:
        found = None
    try:
        value = read(text)
    except NotJSONError:
        deeper_than(text, MAX_DEPTH)
        return
    depth = depth_of(value)
    assert not deeper_than(text, depth)
    assert depth == 0 or deeper_than(text, depth - 1)
    if not isinstance(value, Members):
        assert found is None, "members of what is no object"
    elif all(is_plain(name) for name, _ in value):
        assert found is not None, "an object without members"
        assert Members((one.key, read(text[one.start : one.end])) for one in found) == value
        if is_plain(value):  # what a parser in C reads, too
            kept = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            assert repeats_key(text, kept) is repeats(value)


def check_signature(text: bytes) -> None:
    """What is signed passes and comes out as it went in, and nothing else passes. The first line is the header."""
    line, _, body = text.partition(b"\n")
    header = line.decode("utf-8", "surrogateescape")
    signature.algorithm_matches([header])
    for source in (SOURCE, CONTENT_SOURCE):
        try:
            message = signature.message_of(source.signs, body)
        except Rejected:
            assert source.signs is Signs.CONTENT
            assert _content_of(body) is None, "readable content was refused"
            _expect_rejected(source, header, body)
            continue
        _check_message(source, message, body)
        right = signature.sign(source.keys[0].secret, message)
        delivery = signature.authenticate(
            source, [right], body, algorithms=[header], received_at=0.0, traceparent=header
        )
        assert (delivery.body, delivery.signature) == (body, right)
        assert delivery.traceparent in {None, header}
        other = replace(source, signs=Signs.CONTENT if source.signs is Signs.BODY else Signs.BODY)
        assert signature.other_reading_verifies(other, [right], body)
        flipped = bytearray(base64.b64decode(right))
        flipped[len(text) % 32] ^= 1 << len(line) % 8
        for wrong in {header, base64.b64encode(flipped).decode(), right + "\n", right.rstrip("=")} - {right}:
            _expect_rejected(source, wrong, body)


def check_pipeline(body: bytes) -> None:
    """Any authentic body gives records or an Undeliverable, as what the oracle reads in it demands."""
    sources = [SOURCE]
    if _content_of(body) is not None:
        sources.append(CONTENT_SOURCE)
    for source in sources:
        delivery = deliver(body, source)
        for envelope in ENVELOPES:
            _check_process(delivery, source, envelope)
            _check_ruling(delivery, source, envelope)
        try:
            event = parse(delivery, source)
        except Undeliverable:
            continue
        _check_index(event, INDEX, ROUTES)


def check_envelope(text: bytes) -> None:
    """Whatever texts an event has, its record is JSON or headers in UTF-8, with the data as it was."""
    try:
        parts = text.decode().split("\n")
    except UnicodeDecodeError:
        return
    id_, kind, subject, time, correlation, key, trace, *data = (*parts, *[""] * 7)[: max(8, len(parts))]
    raw = "\n".join(data).encode()
    try:
        read(raw)
    except NotJSONError:
        raw = b'{"name": "x" }'
    event = Event(id_, "contoso", kind, subject or None, time or None, raw, None, correlation or None)
    for envelope in ENVELOPES:
        record = cloudevents.encode(event, SOURCE, envelope, "topic", key, trace or None)
        assert record.key == key.encode()
        _check_record(record, event, envelope, trace or None)


def check_routing(text: bytes) -> None:
    """A rule (the first line) is compiled or told to be faulty, and does what a plain reading of it says."""
    line, _, body = text.partition(b"\n")
    try:
        rule = msgspec.json.decode(line, type=dict[str, object])
        event = parse(deliver(body), SOURCE)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, Undeliverable):
        return
    if deeper_than(line, MAX_DEPTH):  # the configuration refuses deeper ones
        return
    try:
        compiled = compile_route("rule", rule)
    except RuleError as fault:
        assert str(fault)
        return
    _check_index(event, Index([compiled]), [compiled])
    match = rule.get("match", {})
    assert isinstance(match, dict)
    expected = all(_holds(raw, value_at(event, path)) for path, raw in match.items())
    try:
        routed = route(event, [compiled])
    except Unrouted as fate:
        assert (fate.reason is Reason.UNROUTABLE) is not expected
        return
    assert expected
    assert (routed.dropped_by is not None) is compiled.drop is not bool(routed.targets)
    for topic, key in routed.targets:
        assert legal_topic(topic)
        assert key
        key.encode()


def check_doctor(text: bytes) -> None:
    """The doctor takes any header and body: a right signature has no mistake, and no sentence holds the secret."""
    line, _, body = text.partition(b"\n")
    secret = SOURCE.keys[0].secret
    right = signature.sign(secret, body)
    for header in (right, line.decode("utf-8", "surrogateescape")):
        steps = iter(range(DOCTORED))
        found = diagnose([SOURCE, CONTENT_SOURCE], [header], body, lambda: next(steps, None) is not None)  # noqa: B023 - at once
        assert secret.decode() not in sentence_of(found, len(body))
        assert header != right or (found and not found.mistakes)


def check_gate(text: bytes) -> None:
    """A client (the first line is who connected) is found or none; only a trusted proxy is believed who it is."""
    peer, *forwarded = text.decode("latin-1").split("\n")
    client, connected = client_of(peer, forwarded, PROXIES), client_of(peer, (), ())
    if connected is None or not is_in(connected, PROXIES):
        assert client == connected
        return
    assert client is not None
    hops = [client_of(hop, (), ()) for hop in ",".join(forwarded).split(",")]
    assert client == connected or client in hops
    assert neighbourhood(client)[0] == client.version


def check_config(text: bytes) -> None:
    """Any file is read, or told to be faulty in a sentence with a place."""
    if b"${file:" in text:  # what stands in other files is theirs to test
        return
    path = Path(gettempdir()) / "relay-fuzz.yaml"
    path.write_bytes(text)
    try:
        load(path, {"SYSKIT_POINT_KEY": "158b08cc-6a06-49f2-a724-2bc514fdcf1e"})
    except Faulty as caught:
        assert caught.faults
        assert all(fault.what and fault.line > 0 and fault.col > 0 for fault in caught.faults)
        assert caught.render(color=False)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "members": check_members,
    "signature": check_signature,
    "pipeline": check_pipeline,
    "envelope": check_envelope,
    "routing": check_routing,
    "doctor": check_doctor,
    "gate": check_gate,
    "config": check_config,
}


def _check_index(event: Event, index: Index, routes: Sequence[Route]) -> None:
    """What stands in the index is found as if every rule were looked at."""
    assert _routed(event, index.candidates(event)) == _routed(event, routes)


def _routed(event: Event, routes: Sequence[Route]) -> Routed | tuple[Reason, str]:
    try:
        return route(event, routes)
    except Unrouted as fate:
        return fate.reason, fate.detail


def _expect_rejected(source: Source, header: str, body: bytes) -> None:
    try:
        signature.authenticate(source, [header], body, algorithms=[], received_at=0.0, traceparent=None)
    except Rejected:
        return
    raise AssertionError("what nobody signed has passed")


def _content_of(body: bytes) -> object:
    """Give the one top-level content in a list, or None when `signs: content` has nothing sure to read."""
    try:
        value = read(body)
    except NotJSONError:
        return None
    if not isinstance(value, Members) or not all(is_plain(name) for name, _ in value):
        return None
    found = [one for name, one in value if name == "content"]
    return found if len(found) == 1 and (not isinstance(found[0], str) or is_plain(found[0])) else None


def _check_message(source: Source, message: bytes, body: bytes) -> None:
    if source.signs is Signs.BODY:
        assert message == body
    elif (content := _content_of(body)) is not None:
        assert isinstance(content, list)
        if type(content[0]) is str:
            assert message == content[0].encode()
        else:
            assert message in body
            assert read(message) == content[0]


def _check_process(delivery: Delivery, source: Source, envelope: Envelope) -> None:
    try:
        done = pipeline.process(delivery, source, ROUTES, envelope)
    except Undeliverable as fate:
        assert fate.reason is not Reason.MALFORMED or not _is_documented(delivery.body), fate.detail
        assert fate.event_id
        assert len(fate.fingerprint) == 16
        return
    top = read(delivery.body)
    assert isinstance(top, Members), "what is no object was read"
    assert not repeats(top)
    meta = only(top, "meta")
    assert isinstance(meta, Members)
    assert not repeats(meta)
    assert (done.event.type, done.event.id) == (only(top, "type"), only(meta, "idempotencyKey"))
    _check_data(done.event.data, only(top, "content"), delivery.body)
    assert done.dropped_by or done.records
    for record in done.records:
        assert legal_topic(record.topic)
        _check_record(record, done.event, envelope, delivery.traceparent)
        assert pipeline.encode_for(delivery, source, envelope, record.topic, record.key) == record


def _check_ruling(delivery: Delivery, source: Source, envelope: Envelope) -> None:
    """What is told of the rules is what they do: the same records or the same fate, and who matched."""
    ruling = rule_on(delivery, pipeline.Pipeline({source.name: source}, ROUTES, envelope))
    try:
        done = pipeline.process(delivery, source, ROUTES, envelope)
    except Undeliverable as fate:
        assert ruling.fate
        assert (ruling.fate.reason, ruling.fate.detail) == (fate.reason, fate.detail)
        return
    assert ruling.processed == done
    assert tuple(one.rule for one in ruling.findings if one.verdict is Verdict.MATCHED) == done.routes


def _check_data(data: bytes, content: object, body: bytes) -> None:
    if type(content) is str and data == content.encode("utf-8", "surrogatepass"):
        read(data)  # a text is unwrapped only where it holds JSON
    else:
        assert data in body
        assert read(data) == content


def _is_documented(body: bytes) -> bool:
    """Tell whether a body has all that a delivery needs, by the oracle's reading of it."""
    try:
        top = read(body)
    except NotJSONError:
        return False
    if not isinstance(top, Members) or repeats(top) or not is_plain(top) or depth_of(top) > MAX_DEPTH:
        return False
    kind, meta = only(top, "type"), only(top, "meta")
    if type(kind) is not str or not kind or not isinstance(meta, Members) or repeats(meta):
        return False
    id_ = only(meta, "idempotencyKey")
    return type(id_) is str and 0 < len(id_) <= MAX_ID and "content" in dict(top)


def _check_record(record: Record, event: Event, envelope: Envelope, trace: str | None) -> None:
    headers = {name: value.decode() for name, value in record.headers}
    assert len(headers) == len(record.headers), "a header stands twice"
    assert headers.get("traceparent") == trace
    expected = {
        "specversion": "1.0", "id": event.id, "source": SOURCE.uri, "type": envelope.type_prefix + event.type,
        "subject": event.subject, "time": event.time, "partitionkey": record.key.decode(),
        "correlationid": event.correlation_id,
    }  # fmt: skip
    expected = {name: text for name, text in expected.items() if text is not None}
    if envelope.mode is Mode.BINARY:
        assert record.value == event.data
        assert {name[3:]: text for name, text in headers.items() if name.startswith("ce_")} == expected
        return
    assert record.value.endswith(b'"data":%b}' % event.data)
    value = read(record.value)
    assert isinstance(value, Members)
    assert not repeats(value)
    assert dict(value) == expected | {"datacontenttype": "application/json", "data": read(event.data)}


def _holds(raw: object, value: object) -> bool:
    """Read a predicate plainly: what stands at its path, and a word at a time."""
    if isinstance(raw, str):
        return isinstance(value, str) and fnmatchcase(value, raw)  # rules with its other words are refused
    assert isinstance(raw, dict)
    return all(_word_holds(word, operand, value) for word, operand in raw.items())


def _word_holds(word: str, operand: object, value: object) -> bool:  # noqa: PLR0911 - a line for each word
    match word, operand:
        case "exists", bool():
            return (value is not MISSING) is operand
        case "not", _:
            return not _holds(operand, value)
        case "any", list():
            return any(_holds(one, value) for one in operand)
        case "all", list():
            return all(_holds(one, value) for one in operand)
        case "exact", _:
            return _same(operand, value)
        case "in", list():
            return any(_same(one, value) for one in operand)
        case "glob", str():
            return _holds(operand, value)
        case "prefix", str():
            return isinstance(value, str) and value[: len(operand)] == operand
        case "suffix", str():
            return isinstance(value, str) and value[max(0, len(value) - len(operand)) :] == operand
        case _:
            raise AssertionError(f"{word} was compiled")


def _same(wanted: object, value: object) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool) or wanted is None or value is None:
        return wanted is value
    return isinstance(value, str) is isinstance(wanted, str) and not isinstance(value, list | dict) and wanted == value
