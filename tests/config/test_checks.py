"""Fields that have to fit together, and values that only look like what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from relay.config import Protocol, Secret, load
from tests.config.small import KEY, SMALL, read, sentences

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "fields", "fault"),
    [
        ("protocol: SASL_SSL, mechanism: PLAIN, username: u, password: p", (Protocol.SASL_SSL, "u"), None),
        ("protocol: SSL", (Protocol.SSL, None), None),
        ("protocol: PLAINTEXT, username: u", None, "username: is only for SASL_PLAINTEXT and SASL_SSL"),
        ("protocol: SASL_SSL, mechanism: PLAIN, username: u", None, "password: is missing"),
        ("protocol: SSL, key_file: /dev/null", None, "cert_file: is missing: key_file is of no use without it"),
        ("protocol: SSL, ca_file: /nowhere/ca.pem", None, "ca_file: cannot be read: No such file or directory"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_security_fits_together(
    file: Path, written: str, fields: tuple[Protocol, str | None] | None, fault: str | None
) -> None:
    """A login without SASL, a certificate without TLS, half of either: refused, lest it is silently not used."""
    kafka = f", security: {{{written}}}"
    if fault is None:
        security = read(file, kafka=kafka).kafka.security
        assert (security.protocol, security.username) == fields
    else:
        (said,) = sentences(file, kafka=kafka)
        assert said.startswith(f"kafka.security.{fault}")


def test_the_admin_listener_off_loopback_has_a_token(file: Path) -> None:
    """Others than this machine need a token, which comes of a file, is long enough and fits a header."""
    token = file.parent / "token"
    more = f"admin: {{host: 0.0.0.0, token_file: {token}}}"
    for text, said in (("short", "at least 16 bytes"), ("with white space in", "visible ASCII")):
        token.write_text(text)
        (fault,) = sentences(file, more)
        assert fault.startswith("admin.token_file: holds a token that")
        assert said in fault
        assert text not in fault
    token.write_text("a-token-of-some-length\n")
    assert read(file, more).admin.token == Secret("a-token-of-some-length")
    for host in ("127.0.0.2", "::1", "localhost"):
        assert read(file, f'admin: {{host: "{host}"}}').admin.token is None


def test_sections_fit_together(file: Path) -> None:
    """What one section says of another is checked: time within time, bodies within the spool, ports apart."""
    more = "spool: {max_size: 2MiB}\nlisten: {port: 9090, host: 127.0.0.1}\n"
    assert [fault.split(":")[0] for fault in sentences(file, more, kafka=", request_timeout: 3m")] == [
        "admin.port",
        "kafka.request_timeout",
        "spool.max_size",
    ]


def test_paths_belong_to_one_source(file: Path) -> None:
    """Two sources on one path would leave it open whose keys count."""
    faults = sentences(file, key=f'{KEY}]}}, other: {{path: /hooks, keys: ["${{KEY}}"')
    assert faults == ["sources.other.path: is the path of the source contoso too; each needs its own"]


@pytest.mark.parametrize(
    ("written", "bytes_"), [("1024", 1024), ("2048B", 2048), ("1KiB", 1024), ("64MiB", 64 << 20), ("0x1000", 4096)]
)
def test_sizes(file: Path, written: str, bytes_: int) -> None:
    """A size is a number of bytes, or has a unit of 1024."""
    config = read(file, f"listen: {{max_body: {written}}}")
    assert config.listen.max_body == bytes_


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0s", 0.0), ("500ms", 0.5), ("1.5s", 1.5), ("2m", 120.0), ("12h", 43200.0), ("7d", 604800.0)],
)
def test_durations(file: Path, written: str, seconds: float) -> None:
    """A duration has a unit, and is kept in seconds."""
    assert read(file, f"spool: {{retention: {written}}}").spool.retention == seconds


@pytest.mark.parametrize(
    ("written", "topics"),
    [("010", 10), ("0o10", 8), ("0x10", 16), ("+5", 5), ("-1", -1)],
)
def test_numbers_are_those_of_yaml_1_2(file: Path, written: str, topics: int) -> None:
    """A leading zero means nothing in YAML 1.2; octal says so."""
    assert read(file, kafka=f", topics: {{partitions: {written}}}").kafka.topics.partitions == topics


def test_words_of_yaml_1_1_are_texts(file: Path) -> None:
    """A source may be called `on` and a rule `no`: neither is a flag, and 007 is a name too."""
    config = read(file, key=f'"${{KEY}}"]}}, on: {{path: /on, keys: [{KEY}]}}, 007: {{path: /007, keys: [{KEY}')
    assert [source.name for source in config.sources] == ["contoso", "on", "007"]


def test_time_zones_are_named(file: Path) -> None:
    """A zone is read by its name."""
    text = SMALL.format(key=KEY, kafka="").replace("path:", "time_zone: Europe/Zagreb, path:")
    file.write_text(text)
    config = load(file, {})
    assert config.sources[0].time_zone == ZoneInfo("Europe/Zagreb")


def test_an_empty_section_has_its_defaults(file: Path) -> None:
    """A section whose keys are all comments is as good as none."""
    assert read(file, "log:\nack: {}\n") == read(file)


def test_no_secret_in_a_printed_configuration(file: Path) -> None:
    """A configuration that gets into a log or a traceback shows neither keys nor passwords."""
    login = ", security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password: hunter2}"
    config = read(file, kafka=login)
    assert config.kafka.security.password == Secret("hunter2")
    for text in (repr(config), str(config), f"{config.kafka.security.password}"):
        assert KEY not in text
        assert "hunter2" not in text
