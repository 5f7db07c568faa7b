"""The log: a closed list of events, safe lines, quiet libraries."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay import logs
from relay.core.model import Delivery, Placed
from relay.logs.fields import MASKED, MAX_TEXT
from relay.logs.libraries import MAX_REMEMBERED, REPEAT_SECONDS, Repeats
from relay.logs.lines import as_json
from relay.logs.output import LEVELS, Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
RECEIVERS = {"log", "_log"}


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root, server = logging.getLogger(), logging.getLogger("aiohttp.server")
    handlers, level, filters = root.handlers[:], root.level, server.filters[:]
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], server.filters[:] = handlers, filters
    root.setLevel(level)
    structlog.reset_defaults()


def configured(level: str = "info", form: str = "json", stream: io.BytesIO | None = None, **environ: str) -> io.BytesIO:
    """Set the log up on a stream in memory, and give the stream."""
    stream = io.BytesIO() if stream is None else stream
    logs.configure(level, form, stream, environ)
    return stream


def written(stream: io.BytesIO) -> list[dict[str, object]]:
    """Read the JSON lines written so far."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def named(tree: ast.AST) -> Iterator[tuple[int, str | None]]:
    """Find every call that logs: its line, and the event's name, or None when that is no literal."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
            continue
        receiver = node.func.value
        name = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", None)
        if name not in RECEIVERS:
            continue
        args = node.args[1:] if node.func.attr == "log" else node.args
        literal = args[0].value if args and isinstance(args[0], ast.Constant) else None
        yield node.lineno, literal if isinstance(literal, str) else None


def logged() -> Iterator[tuple[str, str | None]]:
    """Find every call of the relay that logs: where, and the event's name."""
    for path in sorted((ROOT / "relay").rglob("*.py")):
        for line, event in named(ast.parse(path.read_text())):
            yield f"{path.relative_to(ROOT)}:{line}", event


def test_only_declared_events_are_logged() -> None:
    """Every call names its event literally, and the name is declared."""
    assert [(where, event) for where, event in logged() if event not in logs.EVENTS] == []


def test_every_declared_event_is_logged() -> None:
    """No event is documented that the relay never logs."""
    assert sorted(set(logs.EVENTS) - {event for _, event in logged()}) == []


def test_the_rule_sees_a_violation() -> None:
    """An undeclared name, a computed one and an attribute's logger are all found."""
    source = 'log.info("a.b", x=1)\nself._log.error(name)\nlog.log(20, "c.d")\nmath.log(2)\nparser.error("usage")'
    assert list(named(ast.parse(source))) == [(1, "a.b"), (2, None), (3, "c.d")]


def test_every_event_is_a_noun_and_what_befell_it() -> None:
    """Names are `noun.word`, and each meaning is one sentence."""
    assert [
        n for n, m in logs.EVENTS.items() if not re.fullmatch(r"[a-z]+\.[a-z_]+", n) or not m.endswith((".", ")."))
    ] == []


def test_the_document_holds_the_events() -> None:
    """docs/logs.md and the code name the same events with the same meanings."""
    rows = re.findall(r"^\| `([a-z._]+)` \| (.*) \|$", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    assert dict(rows) == dict(logs.EVENTS)
    assert len(rows) == len(logs.EVENTS)


def test_a_line_is_json() -> None:
    """A line starts with time in UTC, level and event, and goes on with the fields."""
    stream = configured()
    structlog.get_logger().info("delivery.published", source="contoso", topics=("a", "b"), seconds=0.5, first=None)
    (line,) = written(stream)
    assert list(line) == ["timestamp", "level", "event", "source", "topics", "seconds", "first"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(line["timestamp"]))
    assert (line["level"], line["event"], line["topics"]) == ("info", "delivery.published", ["a", "b"])


def test_the_form_follows_the_terminal() -> None:
    """Auto is columns on a terminal and JSON elsewhere; a form that is asked for wins."""
    forms = {
        (form, kind): configured("info", form, kind())
        for form in ("auto", "json", "console")
        for kind in (Terminal, io.BytesIO)
    }
    json_lines = set()
    for (form, kind), stream in forms.items():
        configured("info", form, stream)
        structlog.get_logger().info("relay.started")
        if stream.getvalue().startswith(b"{"):
            json_lines.add((form, kind))
    assert json_lines == {("auto", io.BytesIO), ("json", Terminal), ("json", io.BytesIO)}


def test_no_color_is_honoured() -> None:
    """Colours appear only on a terminal, and not with a NO_COLOR that is not empty."""
    coloured = []
    for stream, environ in (
        (Terminal(), {}),
        (Terminal(), {"NO_COLOR": ""}),
        (Terminal(), {"NO_COLOR": "1"}),
        (io.BytesIO(), {}),
    ):
        configured("info", "console", stream, **environ)
        structlog.get_logger().warning("relay.started", source="contoso")
        coloured.append(b"\x1b[" in stream.getvalue())
    assert coloured == [True, True, False, False]


def test_a_terminal_obeys_nothing_a_sender_wrote() -> None:
    """Control characters and line ends in a value are shown, not obeyed."""
    stream = configured(form="console")
    structlog.get_logger().info(
        "delivery.published", id="x\x1b[2J", reason="y\nrelay.stopped", rules=["\x07", {"\x1b": "\r"}]
    )
    assert stream.getvalue().count(b"\n") == 1
    assert not set(stream.getvalue()) & {0x1B, 0x07, 0x0D}


def test_levels_hold() -> None:
    """What is below the level is not written; every level of the configuration is known."""
    for level in LEVELS:
        stream = configured(level)
        log = structlog.get_logger()
        for name in LEVELS:
            getattr(log, name)("relay.started")
        assert [line["level"] for line in written(stream)] == list(LEVELS)[list(LEVELS).index(level) :]


@pytest.mark.parametrize("name", sorted(MASKED))
def test_fields_with_secret_names_are_masked(name: str) -> None:
    """A body, signature, key or the like is masked under its name, whatever its case and however deep it is."""
    stream = configured()
    structlog.get_logger().info("relay.started", **{name: "s3cret", "deep": [{name.upper(): "s3cret", "key_id": "k1"}]})
    assert b"s3cret" not in stream.getvalue()
    assert b"k1" in stream.getvalue()


def test_a_delivery_shows_no_body() -> None:
    """A whole delivery, or bytes under any name, shows neither body nor signature."""
    stream = configured()
    delivery = Delivery("contoso", b"s3cret-body", "s3cret-signature", "k1", 1.0)
    structlog.get_logger().info("relay.started", what=delivery, data=b"s3cret", more=[bytearray(b"s3cret"), delivery])
    assert b"s3cret" not in stream.getvalue()
    assert b"<6 bytes>" in stream.getvalue()


def test_texts_are_cut() -> None:
    """No sender decides how long a line is, neither by a value nor by how many there are."""
    stream = configured()
    structlog.get_logger().info("relay.started", id="x" * 1_000_000, many=["y" * 2000] * 5000)
    assert len(stream.getvalue()) < 100 * (MAX_TEXT + 50) + 2 * MAX_TEXT
    assert b"(1000000 characters)" in stream.getvalue()


def test_a_traceback_is_whole() -> None:
    """An unexpected error is logged with its traceback."""
    stream = configured()
    try:
        (ROOT / "no-such-file").read_bytes()
    except OSError:
        structlog.get_logger().exception("relay.failed")
    (line,) = written(stream)
    assert str(line["exception"]).startswith("Traceback")
    assert str(line["exception"]).endswith("no-such-file'")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**30)
    | st.floats()
    | st.text(st.characters())
    | st.just("\udc80")
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("form", ["json", "console"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_any_value_makes_one_line(form: str, value: object) -> None:
    """Writing an event never raises and gives exactly one line, whatever the value."""
    stream = configured(form=form)
    structlog.get_logger().info("relay.started", value=value)
    assert stream.getvalue().count(b"\n") == 1
    if form == "json":
        assert written(stream)[0]["event"] == "relay.started"


def test_a_stream_that_fails_fails_nobody() -> None:
    """A closed or broken stream loses lines and raises nothing."""

    class Broken(io.BytesIO):
        def write(self, _line: object, /) -> int:
            raise BrokenPipeError

    closed = io.BytesIO()
    closed.close()
    for stream in (Broken(), closed):
        Lines(stream).msg(b"line")


def test_libraries_are_heard_from_warning_on() -> None:
    """A library's warning is one event in the same output; its info is not, not even at debug."""
    stream = configured("debug")
    logging.getLogger("aiokafka.client").info("chatter")
    logging.getLogger("aiokafka.client").warning("cannot reach %s", "broker:9092")
    (line,) = written(stream)
    assert (line["event"], line["level"], line["logger"]) == ("library.reported", "warning", "aiokafka.client")
    assert line["message"] == "cannot reach broker:9092"


def test_libraries_keep_errors_short() -> None:
    """A library's traceback becomes the error's class and text; asyncio's stays, as it is about our own tasks."""
    stream = configured()
    error = ValueError("odd")
    logging.getLogger("aiokafka.producer.sender").error("failed", exc_info=error)
    logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    first, second = written(stream)
    assert (first["error"], "exception" in first) == ("ValueError: odd", False)
    assert (second["error"], "exception" in second) == ("ValueError: odd", True)


def test_aiohttp_server_tells_nothing_of_a_request() -> None:
    """Request lines, headers and queries in the arguments or the traceback of aiohttp.server are dropped."""
    stream = configured()
    server = logging.getLogger("aiohttp.server")
    server.error("Error handling request from %s", "/hook?code=s3cret", exc_info=ValueError("Authorization: s3cret"))
    server.error("Unhandled exception %s", "s3cret", stack_info=True)
    assert [line["message"] for line in written(stream)] == [
        "Error handling request from (ValueError)",
        "Unhandled exception",
    ]
    assert b"s3cret" not in stream.getvalue()


def test_a_flood_is_one_line() -> None:
    """An identical line of a library is written once in ten seconds, then with how many were held back."""
    stream = configured()
    handler = logging.getLogger().handlers[0]
    for at in (100.0, 100.1, 105.0, 109.9, 110.0, 111.0):
        record = logging.LogRecord("aiokafka.conn", logging.ERROR, __file__, 1, "Unable to connect", (), None)
        record.created = at
        handler.handle(record)
    assert [line.get("repeated") for line in written(stream)] == [None, 3]


def test_what_is_remembered_of_repeats_is_bounded() -> None:
    """Lines that all differ pass, without growing the memory; a clock set back holds nothing back."""
    repeats = Repeats()
    assert all(repeats.passes("aiokafka", str(number), 1.0) == 0 for number in range(MAX_REMEMBERED + 10))
    assert repeats.passes("aiokafka", "0", 1.0) == 0
    newest = str(MAX_REMEMBERED + 9)
    assert repeats.passes("aiokafka", newest, 1.0 + REPEAT_SECONDS / 2) is None
    assert repeats.passes("aiokafka", newest, 0.5) == 1


def test_a_library_may_log_badly() -> None:
    """A record whose arguments do not fit its text is written as it is, and raises nothing."""
    stream = configured()
    logging.getLogger("aiokafka").warning("%d tries", "many")
    assert written(stream)[0]["message"] == "%d tries"


def test_python_warnings_are_logged() -> None:
    """A warning of Python's own is a line of the log, not stray text."""
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("soon gone", UserWarning, stacklevel=1)
    (line,) = written(stream)
    assert line["logger"] == "py.warnings"
    assert "soon gone" in str(line["message"])


def test_the_slow_way_writes_places_too() -> None:
    """A text that no UTF-8 holds beside the places of records costs neither the line nor whoever logs it."""
    event = {"timestamp": "t", "level": "info", "event": "e", "id": "\ud800", "records": (Placed("t", 1, 7),)}
    line = json.loads(as_json(None, "info", event))
    assert line["records"] == [{"topic": "t", "partition": 1, "offset": 7}]
