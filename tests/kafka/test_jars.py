"""Where the broker's jars come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka import jars

if TYPE_CHECKING:
    from pathlib import Path


def test_without_java_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java the reason is one line that names it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(jars.NotInstalledError, match=r"\A[^\n]*Java 17[^\n]*\Z"):
        jars.java()


def test_without_maven_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Maven and without jars the reason is one line that names it; no folder is left that looks whole."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(jars, "BUILD", tmp_path / "build")
    with pytest.raises(jars.NotInstalledError, match=r"\A[^\n]*Maven[^\n]*\Z"):
        jars.class_path()
    assert not (tmp_path / "build").exists()


def test_maven_that_fails_is_an_error_in_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fetch that fails is reported with what Maven said, and leaves no folder that looks whole."""
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho no such artifact\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(jars, "BUILD", tmp_path / "build")
    with pytest.raises(RuntimeError, match="no such artifact"):
        jars.class_path()
    assert list((tmp_path / "build").iterdir()) == []
