"""What tests of every room share: real Kafka."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.kafka import jars
from tests.kafka.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


# A law is no slower for a busy machine than pytest's own timeout lets it be.
settings.register_profile("relay", deadline=None, print_blob=True)
settings.load_profile("relay")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real Kafka, so that `-m "not kafka"` leaves out exactly that."""
    for item in items:
        if "kafka_installed" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fetch Kafka once where several processes are about to want it."""
    if session.config.getoption("numprocesses", None):
        with contextlib.suppress(jars.NotInstalledError):
            jars.class_path()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch Kafka before the first test, since on a new machine that takes longer than a test may."""
    if any(item.get_closest_marker("kafka") for item in session.items) and not session.config.option.collectonly:
        with contextlib.suppress(jars.NotInstalledError):
            jars.class_path()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, and not for each test, why tests were skipped."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, count in skipped.items():
        terminalreporter.line(f"{count} skipped: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.fixture(scope="session")
def kafka_installed() -> None:
    """Skip what needs real Kafka where it cannot run, saying what to install; fail instead when CI is true.

    For tests that start clusters of their own.
    """
    try:
        jars.java()
        jars.class_path()
    except jars.NotInstalledError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka(kafka_installed: None) -> Iterator[Cluster]:
    """Give one broker for the whole run: tests use topics of their own, and leave the broker up."""
    with Cluster() as cluster:
        yield cluster
