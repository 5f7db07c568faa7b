"""The program has the shape that ARCHITECTURE.md describes.

Each rule is proved twice: the program has no violation, and a planted one is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.architecture import (
    MAX_FILE,
    MAX_FUNCTION,
    Module,
    imports_point_down,
    libraries_have_one_face,
    module,
    names_say_something,
    nothing_is_long,
    only_authenticate_makes_deliveries,
    program,
    signatures_are_compared_in_constant_time,
    the_core_is_pure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLANTED = [
    (imports_point_down, "relay/core/model.py", "from relay.config import load"),
    (imports_point_down, "relay/core/model.py", "from relay import logs"),
    (imports_point_down, "relay/lane.py", "import relay.forwarder"),
    (imports_point_down, "relay/lane/flights.py", "def f():\n    from relay.server import Server"),
    (imports_point_down, "relay/spool/file.py", "if TYPE_CHECKING:\n    from relay.kafka import Producer"),
    (imports_point_down, "relay/spool/file.py", "from ..kafka import Producer"),
    (imports_point_down, "relay/app.py", "from relay.sandbox import demo"),
    (imports_point_down, "relay/app.py", "from relay.stray import it"),
    (imports_point_down, "relay/stray.py", ""),
    (libraries_have_one_face, "relay/lane.py", "from aiokafka.errors import KafkaError"),
    (libraries_have_one_face, "relay/lane.py", "if TYPE_CHECKING:\n    import aiokafka"),
    (libraries_have_one_face, "relay/ingest.py", "import sqlite3"),
    (libraries_have_one_face, "relay/ingest.py", "import apsw.ext"),
    (libraries_have_one_face, "relay/ingest.py", "from aiohttp import web"),
    (libraries_have_one_face, "relay/ingest.py", "from aiohttp.web_request import Request"),
    (libraries_have_one_face, "relay/ingest.py", "import aiohttp\naiohttp.web.Response()"),
    (libraries_have_one_face, "relay/cli.py", "def f():\n    import confluent_kafka"),
    (the_core_is_pure, "relay/core/syskit.py", "import time"),
    (the_core_is_pure, "relay/core/syskit.py", "from os import environ"),
    (the_core_is_pure, "relay/core/routing/glob.py", "import structlog"),
    (the_core_is_pure, "relay/core/syskit.py", "x = datetime.now(UTC)"),
    (the_core_is_pure, "relay/core/syskit.py", "x = open('f')"),
    (the_core_is_pure, "relay/core/syskit.py", "async def f(): ..."),
    (only_authenticate_makes_deliveries, "relay/ingest.py", "x = Delivery('s', b'', '', '', 0.0)"),
    (only_authenticate_makes_deliveries, "relay/core/pipeline.py", "x = model.Delivery('s', b'', '', '', 0.0)"),
    (
        signatures_are_compared_in_constant_time,
        "relay/core/signature.py",
        "def _signing_key(key, digest):\n    return hmac.digest(key) == digest",
    ),
    (nothing_is_long, "relay/lane.py", "x = 1\n" * (MAX_FILE + 1)),
    (nothing_is_long, "relay/lane.py", "def f():\n" + "    x = 1\n" * MAX_FUNCTION),
    (nothing_is_long, "relay/lane.py", "class C:\n  async def f():\n" + "    x = 1\n" * MAX_FUNCTION),
    (names_say_something, "relay/utils.py", ""),
    (names_say_something, "relay/core/json_helpers.py", ""),
    (names_say_something, "relay/common/codes.py", ""),
    (names_say_something, "relay/lane.py", "class LaneManager: ..."),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in PLANTED))

ALLOWED = [
    ("relay/cli.py", "def demo():\n    from relay.sandbox import demo"),
    ("relay/sandbox/demo.py", "from relay.app import run\nfrom aiohttp import web\nimport confluent_kafka"),
    ("relay/admin.py", "import aiohttp.web\nfrom relay import __version__, metrics"),
    ("relay/config/text.py", "from .faults import Fault\nfrom relay.config.yaml import compose\nimport time"),
    ("relay/point.py", "import aiohttp\naiohttp.ClientSession()"),
    ("relay/spool/reader.py", "import apsw\nx = Delivery('s', b'', '', '', 0.0)"),
    ("relay/core/syskit.py", "from relay.core.model import Event\nx = datetime.fromisoformat(text)"),
    ("relay/lane.py", "def f():\n" + "    x = 1\n" * (MAX_FUNCTION - 1) + "x = 1\n" * (MAX_FILE - MAX_FUNCTION)),
]


@pytest.mark.parametrize("rule", RULES)
def test_the_program_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    """Nothing in relay/ violates a rule of its architecture."""
    assert [violation for each in program() for violation in rule(each)] == []


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_the_rule_finds_a_planted_violation(rule: Callable[[Module], Iterator[str]], path: str, text: str) -> None:
    """A rule finds what it forbids, once, and names the file."""
    (violation,) = rule(module(path, text))
    assert violation.startswith(f"{path}:")


@pytest.mark.parametrize(("path", "text"), ALLOWED)
def test_no_rule_forbids_what_the_design_allows(path: str, text: str) -> None:
    """What looks like a violation and is none passes every rule."""
    assert [violation for rule in RULES for violation in rule(module(path, text))] == []


def test_the_rules_see_the_whole_program() -> None:
    """The rules look at every file of relay/, however deep."""
    seen = {each.path for each in program()}
    assert {"relay/__init__.py", "relay/core/model.py"} <= seen
