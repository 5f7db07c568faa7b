"""What is said of a file that cannot be used. The cases are `faulty/*.yaml`, what is said beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.config import Faulty, load
from tests.config.small import KEY

FAULTY = sorted((Path(__file__).parent / "faulty").glob("*.yaml"))
ENVIRON = {"KEY": KEY, "SHORT": "hunter2", "PORT": "http", "EMPTY": "", "ILLEGAL": "hunter2 topic"}
SECRETS = re.compile(r"hunter2|158b08cc|9f86d081|1234567890123456789")


@pytest.mark.parametrize("case", FAULTY, ids=lambda path: path.stem)
def test_faulty_files(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All faults of a file are told at once, in its order, with line, caret and advice."""
    monkeypatch.chdir(case.parent)
    with pytest.raises(Faulty) as caught:
        load(Path(case.name), ENVIRON)
    rendered = caught.value.render(color=False)
    assert rendered + "\n" == case.with_suffix(".txt").read_text()
    assert SECRETS.search(rendered) is None
    assert str(caught.value) == rendered


def test_colour_adds_only_escapes() -> None:
    """A rendering in colour says the same."""
    with pytest.raises(Faulty) as caught:
        load(FAULTY[0], ENVIRON)
    coloured = caught.value.render(color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured) == caught.value.render(color=False)


def test_unusable_files(tmp_path: Path) -> None:
    """A file that is missing, no file, too long or not UTF-8 is a fault like any other."""
    long, latin = tmp_path / "long.yaml", tmp_path / "latin.yaml"
    long.write_text("#" * (1 << 20) + "#")
    latin.write_bytes(b"version: 1\nname: caf\xe9\n")
    for path, said in (
        (tmp_path / "absent.yaml", "1:1: cannot be read: No such file or directory"),
        (tmp_path, "1:1: cannot be read: Is a directory"),
        (long, "1:1: is longer than 1024 KiB"),
        (latin, "2:10: is not UTF-8 from here on"),
    ):
        with pytest.raises(Faulty) as caught:
            load(path, {})
        assert str(caught.value) == f"{path}:{said}"


def test_a_byte_order_mark_is_not_of_the_text(tmp_path: Path) -> None:
    """What Windows puts before a file is no fault, and counts as no column."""
    path = tmp_path / "relay.yaml"
    path.write_text("\ufeffversion: 2\n")
    with pytest.raises(Faulty) as caught:
        load(path, {})
    fault = next(fault for fault in caught.value.faults if fault.path == "version")
    assert (fault.line, fault.col, fault.source, fault.caret) == (1, 10, "version: 2", 9)
