"""What the fuzzer starts from: the golden deliveries, the manual of the configuration, and the rules of the targets."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fuzz.targets import RULES

ROOT = Path(__file__).parents[2]
WORDS = (
    '{"type":"', '"meta":{"idempotencyKey":"', '"content":', '"timeStamp":"', '"name":"', '"correlationId":"',
    "\\u0000", "\\ud83d\\ude00", "\\ud800", '\\"', "\\\\", "\\u0022", "[[", "{}", "null", "true", "1e5", "-0.0",
    '"match":{', '"topics":[', '"key":"', '"continue":true', '"drop":true', '"exact":', '"in":[', '"not":', '"any":[',
    '"all":[', '"glob":"', '"prefix":"', '"suffix":"', '"exists":', "content.", "{type:kebab}", "{source}", "{subject}",
    "10.0.0.1", "::ffff:", "fd00::1", "[", "]:443", ", ", "%25",
    "sources:", "keys:", "${SYSKIT_POINT_KEY}", "&a", "*a", "!!", "<<:", "|-", "1MiB", "10s", "# ", "---",
)  # fmt: skip


def bodies() -> list[bytes]:
    """Give the bodies of the golden deliveries."""
    return [request["body"].encode() for request in _requests()]


def seeds(target: str) -> list[bytes]:
    """Give the inputs from which a target sets out."""
    match target:
        case "signature" | "doctor":
            return [f"{request['signature']}\n{request['body']}".encode() for request in _requests()]
        case "envelope":
            return [
                "id-1\nStarted\nTeams/Ä\n2023-10-05T14:48:00Z\nc-1\nkey\n00-1-2-01\n".encode() + body
                for body in bodies()
            ]
        case "routing":
            rules = [json.dumps(rule).encode() for rule in RULES.values()]
            return [rule + b"\n" + body for rule in rules for body in bodies()]
        case "gate":
            return [
                b"203.0.113.7\n198.51.100.1",
                b"10.0.0.1\n203.0.113.7, 10.1.1.1\n[2001:db8::1]:443, 192.0.2.1",
                b"::ffff:10.0.0.1\nunknown, 203.0.113.7:80,,fe80::1%eth0",
                b"\n10.0.0.1",
            ]
        case "config":
            # What stands in other files is theirs to test, and the target leaves such an input alone.
            return [
                path.read_bytes().replace(b"${file:", b"${F:-") for path in sorted((ROOT / "config").rglob("*.yaml"))
            ]
        case _:
            return bodies()


def dictionary() -> str:
    """Give the words that the fuzzer may put anywhere, in the form that libFuzzer reads."""
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in WORDS)
    return "".join(f'"{word}"\n' for word in escaped)


def _requests() -> list[dict[str, str]]:
    files = sorted((ROOT / "tests" / "deliveries").glob("*.json"))
    return [json.loads(file.read_text("utf-8"))["request"] for file in files]
