"""References: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:PATH}` and `$$`."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import After, Faulty, Listen, load
from relay.core.signature import fingerprint
from tests.config.small import KEY, SMALL, read, sentences


def test_references_fill_every_kind_of_field(file: Path) -> None:
    """What came of a reference is text, and still fits a number, a flag, a size, a duration or a word."""
    more = """
listen: {host: "${HOST:-::1}", port: "${P}", max_body: "${SIZE}", body_timeout: "${N}ms"}
admin: {port: "${UNSET:-9191}"}
ack: {after: "${AFTER:?say when}"}
log: {level: "${L}ug"}
spool: {path: "./$${file:x}/$$5$/$file"}
"""
    kafka = ', idempotence: "${NO}", topics: {partitions: "${N}"}'
    config = read(file, more, kafka=kafka, P="0", SIZE="64KiB", N="250", AFTER="stored", L="deb", NO="false")
    assert config.listen == Listen(host="::1", port=0, max_body=65536, body_timeout=0.25)
    assert config.admin.port == 9191
    assert (config.ack.after, config.log.level.value) == (After.STORED, "debug")
    assert (config.kafka.idempotence, config.kafka.topics.partitions) == (False, 250)
    assert config.spool.path == Path("./${file:x}/$5$/$file")


def test_a_variable_never_becomes_structure(file: Path) -> None:
    """References are filled after parsing: what a variable holds is text, whatever it looks like."""
    config = read(file, 'envelope: {type_prefix: "${PREFIX}"}', PREFIX="1", KEY=f"{KEY}]}} # {{")
    assert config.envelope.type_prefix == "1"
    assert config.sources[0].keys[0].secret == f"{KEY}]}} # {{".encode()


def test_one_variable_names_a_cluster(file: Path) -> None:
    """An item of the bootstrap servers may hold several, and each stays once."""
    file.write_text(SMALL.format(key=KEY, kafka="").replace("localhost:9092", "${SERVERS}"))
    servers = load(file, {"SERVERS": "a:1, b:2,[::1]:3,a:1"}).kafka.bootstrap_servers
    assert servers == ("a:1", "b:2", "[::1]:3")


def test_looking_without_secrets_reads_nothing(file: Path) -> None:
    """Without secrets no file is opened and no variable needed, in whatever field they are."""
    more = """
listen: {host: "${A}", port: "${A}", max_body: "${A}", body_timeout: "${A}"}
admin: {host: 0.0.0.0, token_file: /nowhere/token}
ack: {after: "${A}"}
"""
    kafka = ', idempotence: "${A}", security: {protocol: SSL, ca_file: /nowhere/ca.pem}'
    file.write_text(SMALL.format(key='"${file:/nowhere/a}", "${file:/nowhere/b}", "${A}"', kafka=kafka) + more)
    config = load(file, {}, secrets=False)
    assert len({key.id for key in config.sources[0].keys}) == 3
    assert config.admin.token is not None
    with pytest.raises(Faulty) as caught:
        load(file, {})
    assert len(caught.value.faults) == 11


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_file_loses_one_line_end(file: Path, end: str) -> None:
    """The line end that an editor adds is not part of a key."""
    (file.parent / "key").write_bytes(f"{KEY}{end}".encode())
    (key,) = read(file, key=f'"${{file:{file.parent}/key}}"').sources[0].keys
    assert (key.secret, key.id) == (KEY.encode(), fingerprint(KEY.encode()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{KEY}\n\n".encode(), "has white space around its text; only one final line end is dropped"),
        (f" {KEY}".encode(), "has white space around its text; only one final line end is dropped"),
        (f"\ufeff{KEY}".encode(), "begins with a byte order mark; save it without one"),
        (b"\n", "is empty"),
        (b"\xff" * 20, "is not UTF-8"),
        (b"k" * 65537, "is longer than 64 KiB"),
    ],
    ids=["two line ends", "space", "bom", "empty", "bytes", "long"],
)
def test_secret_files_that_are_refused(file: Path, content: bytes, said: str) -> None:
    """White space, a byte order mark and other accidents are told, as they would silently be part of the key."""
    path = file.parent / "key"
    path.write_bytes(content)
    faults = sentences(file, key=f'"${{file:{path}}}"')
    assert faults == [f"sources.contoso.keys[0]: takes the file {path}, which {said}"]
