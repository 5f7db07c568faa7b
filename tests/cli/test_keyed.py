"""Verbs that look at what was signed know the keys that were fetched from Syskit Point, by the file that keeps them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from relay.core.signature import fingerprint, sign
from relay.keys import file
from relay.keys.ring import FetchedKey, Ring
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.running import KEY, PATH, Running, event, settings, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD = b"3d813cbb-47fb-42ba-91df-831e1593ac29"
NEW = b"7c9e6679-7425-40de-944b-e07fc1f90ae7"
BODY = event(event_id="one")
POINT = {
    "url": "http://127.0.0.1:9", "authority": "http://127.0.0.1:9", "tenant": "contoso.onmicrosoft.com",
    "client_id": "8f8fad5b-d9cb-469f-a165-70867728950e", "token_file": "/dev/null",
    "scope": "9f8fad5b-d9cb-469f-a165-70867728950e/.default", "allow_private": True,
}  # fmt: skip


def written(folder: Path, source: dict[str, object]) -> dict[str, object]:
    """Give the configuration of a relay without Kafka."""
    port, admin_port = free_ports(2)
    return settings(
        "127.0.0.1:9", folder, "t", sources={"contoso": {"path": PATH} | source}, ack={"after": "stored"},
        listen={"host": "127.0.0.1", "port": port}, admin={"port": admin_port}, stop={"timeout": "0s"},
    )  # fmt: skip


@pytest.fixture(name="stored", scope="module")
def fixture_stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay that holds the deliveries 1, 2 and 3, signed with a configured, a retiring and a new key."""
    folder = tmp_path_factory.mktemp("keyed")
    configuration = written(folder, {"keys": [KEY], "point": POINT})
    ring(folder / "spool.db")
    with Running(folder, configuration) as process:
        for nth, key in enumerate((KEY.encode(), OLD, NEW)):
            body = event(event_id=str(nth))
            assert process.post(body, headers=signed(body, key.decode())).status == 202
        yield process


def ring(spool: Path, ends: float = 3600.0, retired: tuple[bytes, ...] = ()) -> None:
    """Write what a relay has fetched."""
    fetched = (FetchedKey(OLD, time.time() + ends), FetchedKey(NEW))
    file.write(file.path_of(spool), {"contoso": Ring(fetched, {fingerprint(key): 1.0 for key in retired})})


def told(config: Path, *words: str, code: int = 0, data: bytes = b"") -> dict[str, object]:
    """Run a verb, and give the JSON that it prints, in which no key is."""
    done = relay(*words, "--json", "-c", str(config), data=data)
    assert done.returncode == code, done.stderr
    assert not any(key in done.stdout for key in (KEY, OLD.decode(), NEW.decode()))
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("number", "key"), [("1", KEY.encode()), ("2", OLD), ("3", NEW)])
def test_a_delivery_is_known_under_a_fetched_key(stored: Running, number: str, key: bytes) -> None:
    """By verify, show and explain alike, while the relay runs."""
    assert told(stored.config, "verify", number) == {"authentic": True, "source": "contoso", "key": fingerprint(key)}
    for words in (("deliveries", "show"), ("explain",)):
        found = told(stored.config, *words, number)
        assert (found["verified"], found["verification"]) == (True, f"verified by key {fingerprint(key)}")


@pytest.fixture(name="config")
def fixture_config(tmp_path: Path) -> Path:
    """Give a configuration that lists no key, beside which nothing runs."""
    config = tmp_path / "relay.yaml"
    config.write_text(json.dumps(written(tmp_path, {"point": POINT})))
    return config


def request(key: bytes) -> bytes:
    """Give a request as it was kept."""
    return b"POST %s HTTP/1.1\r\nSignature: %s\r\n\r\n%s" % (PATH.encode(), sign(key, BODY).encode(), BODY)


@pytest.mark.parametrize("ended", [True, False])
def test_a_key_that_is_over_is_told(tmp_path: Path, config: Path, *, ended: bool) -> None:
    """Past its end or retired by hand, what it signed is not authentic, and that is why."""
    spool = tmp_path / "spool.db"
    ring(spool, -1.0 if ended else 3600.0, () if ended else (OLD,))
    found = told(config, "verify", "-", code=1, data=request(OLD))
    mistake = {"what": "that key is retired", "mend": "have the sender sign with the key of now"}
    assert found["fits"] == {"source": "contoso", "key": fingerprint(OLD), "mistakes": [mistake]}
    assert told(config, "verify", "-", data=request(NEW))["authentic"]


@pytest.mark.parametrize(("number", "key"), [("1", KEY.encode()), ("3", NEW)])
def test_a_stored_delivery_of_a_retired_key(stored: Running, tmp_path: Path, number: str, key: bytes) -> None:
    """It was good when it came, and its account says what became of the key, which need not be held any more."""
    elsewhere = json.loads(stored.config.read_text())
    config, spool = tmp_path / "relay.yaml", tmp_path / "spool.db"
    elsewhere["spool"] = {"path": str(spool)}
    config.write_text(json.dumps(elsewhere))
    for suffix in ("", "-wal", "-shm"):
        kept = stored.folder / f"spool.db{suffix}"
        if kept.exists():
            (tmp_path / f"spool.db{suffix}").write_bytes(kept.read_bytes())
    kept_ring = Ring((FetchedKey(NEW),)).retire(fingerprint(key), 1.0)
    file.write(file.path_of(spool), {"contoso": kept_ring})
    found = told(config, "deliveries", "show", number)
    assert found["verification"] == (
        f"verifies under no key of today; when it came it did under {fingerprint(key)}, which is retired"
    )
    done = relay("verify", number, "-c", str(config))
    assert (done.returncode, "that key is retired" in done.stdout) == (1, True)


def test_a_fetched_key_of_one_that_fetches_no_more_does_not_count(tmp_path: Path, config: Path) -> None:
    """As in the relay, which has the configured ones alone then."""
    ring(tmp_path / "spool.db")
    config.write_text(json.dumps(written(tmp_path, {"keys": [KEY], "point": POINT | {"fetch_key": None}})))
    assert told(config, "verify", "-", code=1, data=request(NEW))["fits"] is None


def test_a_damaged_file_is_told_and_configured_keys_go_on(tmp_path: Path, config: Path) -> None:
    """What cannot be read is said on stderr, and left as it is."""
    config.write_text(json.dumps(written(tmp_path, {"keys": [KEY], "point": POINT})))
    damaged = file.path_of(tmp_path / "spool.db")
    damaged.write_text("{")
    done = relay("verify", "-", "-c", str(config), data=request(KEY.encode()))
    assert (done.returncode, done.stdout.startswith("authentic")) == (0, True)
    assert "the fetched keys are not looked at" in done.stderr
    assert damaged.read_text() == "{"


def test_send_signs_with_the_newest_fetched_key(stored: Running, tmp_path: Path) -> None:
    """Where no key is configured; without one it is said how to get one."""
    listed = json.loads(stored.config.read_text())
    del listed["sources"]["contoso"]["keys"]
    config = tmp_path / "relay.yaml"
    config.write_text(json.dumps(listed))
    done = relay("send", "-", "-c", str(config), data=event(event_id="sent"))
    assert done.returncode == 0, done.stderr
    number = json.loads(done.stdout)["delivery"]
    assert told(config, "verify", str(number))["key"] == fingerprint(NEW)
    config.write_text(json.dumps(listed | {"spool": {"path": str(tmp_path / "none.db")}}))
    done = relay("send", "-", "-c", str(config), data=event())
    assert (done.returncode, "relay keys fetch" in done.stderr) == (1, True)
