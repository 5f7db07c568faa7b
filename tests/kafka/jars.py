"""Where the broker's jars come from: Maven fetches them once, every later start finds them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
BUILD = Path(__file__).parents[2] / "build" / "kafka"


class NotInstalledError(Exception):
    """A program that real Kafka needs is not here; the text is one line that says what to install."""


def java() -> str:
    """Give the path of the Java runtime, that of JAVA_HOME first.

    Raises `NotInstalledError` when there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")
    if found is None:
        raise NotInstalledError("real Kafka needs Java 17: install it (Debian: apt-get install default-jre-headless)")
    return found


def class_path() -> str:
    """Give the class path of the version that pom.xml names, fetching it when it is not yet under build/.

    Raises `NotInstalledError` without Maven, `RuntimeError` with Maven's own words when it fails.
    """
    folder = BUILD / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if not folder.is_dir():
        _fetch(folder)
    return f"{folder}/*"


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NotInstalledError("real Kafka comes by Maven: install it (Debian: apt-get install maven)")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib", "-DincludeScope=runtime")
        done = subprocess.run([maven, "-q", "-B", "-f", POM, *goal], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Maven could not fetch Kafka:\n{done.stdout}{done.stderr}")
        try:
            # In one step, so that a fetch cut short leaves no folder that looks whole.
            Path(scratch, "lib").rename(folder)
        except OSError:
            # Another test run was first. Anything else is an error.
            if not folder.is_dir():
                raise
