"""The list of deliveries as it is printed: its header, and its end when nobody reads on."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from relay.cli.lookup import CHUNK, tell_list
from relay.core.model import Status
from relay.sandbox.ports import free_ports
from relay.spool import Listed
from tests.cli.typed import relay
from tests.running import RELAY, Running, event, settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COUNT = CHUNK * 2 + 1


def listed(number: int) -> Listed:
    """Give a line whose type is as wide as its number is large."""
    kind = "T" * (1 + number // CHUNK * 10)
    return Listed(number, "contoso", f"id-{number}", kind, 0.0, Status.PUBLISHED, None, None, None, None, None, 0, None)


def test_a_long_table_has_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    """However many chunks are laid out, titles stand once above all, and columns never get narrower."""
    assert tell_list((listed(number) for number in range(COUNT, 0, -1)), as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == COUNT + 1
    assert [at for at, line in enumerate(lines) if line.startswith("DELIVERY")] == [0]
    assert len({line.index(" id-") for line in lines[1:]}) == 1
    assert tell_list(iter(()), as_json=False) == 0
    assert capsys.readouterr().out == ""


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    """`deliveries list | head` ends without a word when nobody reads on."""
    port, admin_port = free_ports(2)
    configuration = settings(
        "127.0.0.1:9", tmp_path, "cli.all", ack={"after": "stored"}, stop={"timeout": "0s"},
        listen={"host": "127.0.0.1", "port": port}, admin={"port": admin_port},
    )  # fmt: skip
    with Running(tmp_path, configuration) as process:
        process.post(event())
        command = [RELAY, "deliveries", "list", "--json", "--limit", "0", "-c", str(process.config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as gone:
            assert gone.stdout
            assert gone.stderr
            gone.stdout.close()
            assert gone.stderr.read() == b""
        assert gone.returncode != 70
        assert json.loads(relay(*command[1:]).stdout)["delivery"] == 1
