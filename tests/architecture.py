"""The rules of the program's shape, over the syntax tree of relay/: each gives the violations in a module."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# From top to bottom. A room may import from those on lines below its own, and from itself.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"sandbox"},
    {"app"},
    {"server", "admin", "audit"},
    {"ingest", "changes", "rejected"},
    {"forwarder", "keys", "registration"},
    {"lane"},
    {"spool", "kafka", "point"},
    # Below those it configures, which take their settings as its values.
    {"config"},
    {"metrics", "logs", "health"},
    {"core"},
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

# The libraries that only some rooms may import, so that each has one face in the program.
OWNERS = {
    "aiokafka": {"kafka"},
    "apsw": {"spool"},
    "sqlite3": {"spool"},
    "aiohttp.web": {"server", "admin", "app", "sandbox"},
    "confluent_kafka": {"sandbox"},
}

# All that the core may import besides itself: bytes in, values out.
PURE = {
    "__future__",
    "base64",
    "binascii",
    "bisect",
    "codecs",
    "collections",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "msgspec",
    "operator",
    "contextlib",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "unicodedata",
}
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "getLogger", "get_logger"}

VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "handler", "context", "service", "misc"}

MAX_FILE = 250
MAX_FUNCTION = 40


class Module(NamedTuple):
    """A file of relay/: its path from the root of the repository, its text, and the text's tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the program it belongs to, be that a file or a package; empty for relay/__init__.py."""
        first = self.path.split("/")[1].removesuffix(".py")
        return "" if first == "__init__" else first

    def at(self, node: ast.AST, what: str) -> str:
        """Word a violation, with its place."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


def module(path: str, text: str) -> Module:
    """Read a module out of its text."""
    return Module(path, text, ast.parse(text))


def program() -> list[Module]:
    """Read every module of relay/."""
    files = sorted((ROOT / "relay").rglob("*.py"))
    return [module(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def imports(of: Module) -> Iterator[tuple[ast.AST, str]]:
    """Give each import as a dotted name, also those inside functions and under TYPE_CHECKING.

    An import of a submodule and its use as an attribute (`aiohttp.web` after `import aiohttp`) count as well.
    """
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = of.path.removesuffix(".py").split("/")[: -node.level] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "aiohttp":
            yield node, f"aiohttp.{node.attr}"


def calls(of: Module) -> Iterator[tuple[ast.Call, str]]:
    """Give each call with the last part of the name that is called."""
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node, node.func.id if isinstance(node.func, ast.Name) else node.func.attr


def imports_point_down(of: Module) -> Iterator[str]:
    """A room imports only from itself and from rooms below it; every room has its place."""
    if of.room and of.room not in RANK:
        yield of.at(of.tree, f"the room {of.room} has no place in LAYERS")
        return
    for node, name in imports(of):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top != "relay" or target == of.room or target.startswith("__"):
            continue
        if target not in RANK:
            yield of.at(node, f"imports {name}, which has no place in LAYERS")
        elif of.room and RANK[target] <= RANK[of.room]:
            yield of.at(node, f"{of.room} imports {name}, which is not below it")


def libraries_have_one_face(of: Module) -> Iterator[str]:
    """A library is imported only by the rooms that own it."""
    for (node, name), (library, rooms) in itertools.product(imports(of), OWNERS.items()):
        # aiohttp keeps the parts of aiohttp.web in modules called aiohttp.web_something.
        if (name + ".").startswith((f"{library}.", f"{library}_")) and of.room not in rooms:
            yield of.at(node, f"{of.room} imports {name}; only {', '.join(sorted(rooms))} may")


def the_core_is_pure(of: Module) -> Iterator[str]:
    """The core has no I/O, no clock, no randomness, no logging and no coroutines."""
    if of.room != "core":
        return
    for node, name in imports(of):
        if name.partition(".")[0] not in PURE | {"relay"}:
            yield of.at(node, f"the core imports {name}")
    for node, name in calls(of):
        if name in IMPURE_CALLS:
            yield of.at(node, f"the core calls {name}")
    for coroutine in ast.walk(of.tree):
        if isinstance(coroutine, ast.AsyncFunctionDef):
            yield of.at(coroutine, f"the core has the coroutine {coroutine.name}")


def only_authenticate_makes_deliveries(of: Module) -> Iterator[str]:
    """A Delivery is made where it was authenticated, or read back by the spool."""
    if of.path != "relay/core/signature.py" and of.room != "spool":
        yield from (of.at(node, "makes a Delivery") for node, name in calls(of) if name == "Delivery")


def signatures_are_compared_in_constant_time(of: Module) -> Iterator[str]:
    """Nothing that is computed of a key is compared with `==`, whose time tells where two texts differ."""
    if of.path != "relay/core/signature.py":
        return
    for node in ast.walk(of.tree):
        if isinstance(node, ast.FunctionDef) and node.name == "_signing_key":
            compared = [call for call in ast.walk(node) if isinstance(call, ast.Compare | ast.Match)]
            yield from (of.at(each, "compares a signature by other means") for each in compared if _is_equality(each))


def _is_equality(node: ast.AST) -> bool:
    return isinstance(node, ast.Match) or any(
        isinstance(how, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for how in getattr(node, "ops", ())
    )


def nothing_is_long(of: Module) -> Iterator[str]:
    """A file or a function that is too long is missing a noun."""
    lines = len(of.text.splitlines())
    if lines > MAX_FILE:
        yield of.at(of.tree, f"has {lines} lines, more than {MAX_FILE}")
    for node in ast.walk(of.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield of.at(node, f"{node.name} has {lines} lines, more than {MAX_FUNCTION}")


def names_say_something(of: Module) -> Iterator[str]:
    """No module and no class is named for what could be said of any."""
    for part in of.path.removesuffix(".py").split("/"):
        if VAGUE & set(part.strip("_").split("_")):
            yield of.at(of.tree, f"the name {part} says nothing")
    for node in ast.walk(of.tree):
        if isinstance(node, ast.ClassDef) and node.name.lower().endswith(tuple(VAGUE)):
            yield of.at(node, f"the name {node.name} says nothing")
