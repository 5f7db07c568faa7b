"""A folder or a file that may not be written: a sentence at start, refusals while the relay runs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.typed import relay
from tests.running import Running, event, settings, until
from tests.small_disk import small_disk
from tests.spool.samples import look

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_may_not_be_written_is_named_at_start(tmp_path: Path) -> None:
    """The relay ends with a sentence that names the spool and why, and no traceback."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        running = Running(tmp_path, settings("127.0.0.1:1", disk, "read.only"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=30)
        ended = relay("run", "-c", str(running.config))
    assert ended.returncode == 70
    assert f"{disk}/spool.db" in ended.stderr
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("names", [("spool.db-wal", "spool.db"), (".",)], ids=["file", "folder"])
def test_what_becomes_read_only_is_refused_until_it_is_not(tmp_path: Path, names: tuple[str, ...]) -> None:
    """While it may not be written nothing is acknowledged that is not stored; then the relay goes on by itself."""
    running = Running(tmp_path, settings("127.0.0.1:1", tmp_path, "read.only", ack={"after": "stored"}))
    with running:
        assert running.post(event(event_id="before")).status == 202
        files = [str(tmp_path / name) for name in names]
        if subprocess.run(["chattr", "+i", *files], capture_output=True, check=False, timeout=30).returncode:
            pytest.skip("no file can be made immutable here")
        try:
            answers = [running.post(event(event_id=f"during-{number}")) for number in range(3)]
            if names != (".",):  # a folder is not written by a commit
                assert [answer.status for answer in answers] == [503] * 3
                assert all(answer.headers["retry-after"] for answer in answers)
                until(lambda: "make it writable" in running.get("/readyz?verbose").body.decode())
        finally:
            subprocess.run(["chattr", "-i", *files], check=True, timeout=30)
        until(lambda: running.post(event(event_id="after")).status == 202)
        acknowledged = [f"during-{number}" for number, answer in enumerate(answers) if answer.status == 202]
        running.kill9()
    stored = {str(id_) for (id_,) in look(tmp_path / "spool.db", "SELECT event_id FROM deliveries")}
    assert stored == {"before", *acknowledged, "after"}
