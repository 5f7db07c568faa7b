"""`relay demo`, as a person runs it: the installed command, its output, a shell, and signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kafka.reader import read_topic
from tests.sandbox import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster
    from tests.sandbox.shown import Shown

COMMAND = [str(Path(sys.executable).with_name("relay")), "demo"]
PATIENCE = 30
LAST_LINE = "Leave with Ctrl-C.\n"

STARTED, COMPLETED, FAILED, UNDOCUMENTED, REPEATED, FORGED, MALFORMED, DROPPED = range(8)


def run(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a demo to its end."""
    return subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **environ},
    )


def shell(line: str) -> str:
    """Run a line as it was printed, as if pasted; give its output."""
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def line_of(text: str, program: str) -> str:
    """Give the one line of the output that is for a shell and starts this program."""
    (line,) = re.findall(rf"^{program} .+$", text, re.MULTILINE)
    return str(line)


class Staying:
    """A demo that stays up: its output up to the last line, and the process."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it, and wait until it has shown everything; its temporary files go to `folder`."""
        self.folder = folder
        self.errors = folder.with_suffix(".errors")
        folder.mkdir()
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "TMPDIR": str(folder)},
            )

    def read_until(self, last: str) -> str:
        """Give the output up to the line that starts with `last`."""
        assert self.process.stdout
        lines: list[str] = []
        while not lines or not lines[-1].startswith(last):
            lines.append(self.process.stdout.readline())
            assert lines[-1], self.errors.read_text()
        return "".join(lines)

    def leave(self, number: int) -> int:
        """Send a signal; give the exit code, when there is one within five seconds."""
        self.process.send_signal(number)
        return self.process.wait(5)


@pytest.fixture(name="once", scope="module")
def fixture_once(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Give a demo with the embedded Kafka that has run to its end."""
    return run("--once", TMPDIR=str(tmp_path_factory.mktemp("once")))


@pytest.fixture(name="deliveries", scope="module")
def fixture_deliveries(once: subprocess.CompletedProcess[str]) -> list[Shown]:
    """Give what that demo showed."""
    return shown.read(once.stdout)


@pytest.fixture(name="staying")
def fixture_staying(tmp_path: Path) -> Iterator[Staying]:
    """Give a demo that has just been started, to stay up; killed when the test did not end it."""
    staying = Staying(tmp_path / "staying")
    with staying.process:
        yield staying
        staying.process.kill()


def outcomes(deliveries: list[Shown]) -> list[tuple[int, object]]:
    """Give the HTTP status and the receipt's status of each."""
    return [(delivery.status, delivery.receipt.get("status")) for delivery in deliveries]


EIGHT = [
    (202, "published"),
    (202, "published"),
    (202, "published"),
    (202, "published"),
    (202, "duplicate"),
    (401, None),
    (202, "dead"),
    (202, "dropped"),
]


def test_it_shows_the_eight_outcomes_and_nothing_else(
    once: subprocess.CompletedProcess[str], deliveries: list[Shown]
) -> None:
    """Each thing that can become of a delivery is shown once, in order; the rest of the terminal stays clean."""
    assert outcomes(deliveries) == EIGHT
    assert (once.returncode, once.stderr) == (0, "")
    assert "\x1b" not in once.stdout


def test_it_introduces_itself_to_syskit_point(once: subprocess.CompletedProcess[str]) -> None:
    """The relay has registered where it listens, and fetched the key, before the first delivery."""
    opening = once.stdout.partition("\n\n")[0].splitlines()
    assert re.fullmatch(r"The relay takes deliveries at http://127\.0\.0\.1:\d+/webhooks/contoso", opening[0])
    assert re.fullmatch(
        r"At a simulated Syskit Point, http://127\.0\.0\.1:\d+, it has registered .+ for \*,", opening[2]
    )
    assert re.fullmatch(r"and fetched the signature key, whose fingerprint is \w+\.", opening[3])


def test_a_rotation_refuses_nothing(once: subprocess.CompletedProcess[str]) -> None:
    """Deliveries that are sent once each are taken under both keys, and the first key is the one that was fetched."""
    found = re.search(
        r"   old key  (\w+), signed (\d+) deliveries\n   new key  (\w+), signed (\d+) deliveries\n"
        r"   refused  0 of (\d+), each sent once\n",
        once.stdout,
    )
    assert found
    old, by_old, new, by_new, sent = found.groups()
    assert old != new
    assert f"fingerprint is {old}." in once.stdout
    assert int(by_old) > 0 < int(by_new)
    assert int(by_old) + int(by_new) == int(sent)


@pytest.mark.parametrize(
    ("which", "topics", "key"),
    [
        (STARTED, ["syskit.ProvisioningStarted"], "contoso/MicrosoftTeams/Marketing"),
        (COMPLETED, ["syskit.ProvisioningCompleted"], "contoso/MicrosoftTeams/Marketing"),
        (
            FAILED,
            ["ops.provisioning-failed", "syskit.ProvisioningFailed"],
            "contoso/SharePointSiteCollection/Research",
        ),
        (UNDOCUMENTED, ["syskit.SensitivityLabelChanged"], "contoso/M365Group/Finance"),
        (REPEATED, ["syskit.ProvisioningStarted"], "contoso/MicrosoftTeams/Marketing"),
    ],
)
def test_each_record_is_shown_as_it_is_read(deliveries: list[Shown], which: int, topics: list[str], key: str) -> None:
    """Every record of a receipt is read back from its place: key, headers, and the content byte for byte as signed."""
    delivery = deliveries[which]
    sent = json.loads(delivery.body)
    assert [record.place for record in delivery.records] == delivery.places
    assert [record.place[0] for record in delivery.records] == topics
    for record in delivery.records:
        value = json.loads(record.value)
        assert record.key == value["partitionkey"] == key
        assert record.headers == {"content-type": "application/cloudevents+json"}
        assert value["id"] == sent["meta"]["idempotencyKey"] == delivery.receipt["id"]
        assert value["type"] == f"com.syskit.point.{sent['type']}"
        signed = re.search(r'"content":(\{.*?\})', delivery.body)
        assert signed
        assert record.value.endswith(f'"data":{signed[1]}}}')


def test_the_repeat_is_the_first_one(deliveries: list[Shown]) -> None:
    """The duplicate is the same request, and is answered with the first one's number, status and records."""
    first, again = deliveries[STARTED], deliveries[REPEATED]
    assert (again.headers, again.body) == (first.headers, first.body)
    assert again.receipt == {**first.receipt, "status": "duplicate", "first": "published"}
    assert again.records == first.records


def test_the_forgery_is_not_stored(deliveries: list[Shown]) -> None:
    """A signature over another body is refused without a reason, which the log has, and no number is given to it."""
    forged = deliveries[FORGED]
    assert forged.headers == deliveries[COMPLETED].headers
    assert forged.body != deliveries[COMPLETED].body
    assert list(forged.receipt) == ["error"]
    assert forged.notes["why"].startswith("bad_signature")
    numbers = [delivery.receipt.get("delivery") for delivery in deliveries]
    assert numbers == [1, 2, 3, 4, 1, None, 5, 6]


def test_it_says_where_a_dead_letter_is_and_why(deliveries: list[Shown]) -> None:
    """Of what cannot be read it is said why, and where it is kept."""
    dead = deliveries[MALFORMED]
    assert dead.receipt["reason"] == "malformed"
    assert re.fullmatch(r"malformed: not readable as JSON: .+", dead.notes["why"])
    assert re.fullmatch(r"as delivery 5 in /\S+/spool\.db, with body and signature", dead.notes["kept"])


def test_it_names_the_rule_that_drops(deliveries: list[Shown]) -> None:
    """Of what is dropped the rule is named."""
    assert deliveries[DROPPED].notes == {"rule": "sandboxes-dropped"}


def test_the_printed_lines_work_in_a_shell(staying: Staying) -> None:
    """The curl line posts a delivery that is published, once; the kcat line reads it; Ctrl-C ends it all, exit 0."""
    text = staying.read_until(LAST_LINE)
    assert outcomes(shown.read(text)) == EIGHT
    curl = line_of(text, "curl")
    (status, receipt), (_, again) = (shell(f"{curl} -w ' %{{http_code}}'").rsplit(" ", 1)[::-1] for _ in range(2))
    assert status == "202"
    assert json.loads(receipt)["status"] == "published"
    assert json.loads(again)["status"] == "duplicate"
    if shutil.which("kcat") or os.environ.get("CI") == "true":
        read = shell(line_of(text, "kcat"))
        assert read.count("key: contoso/MicrosoftTeams/Sales\nheaders: content-type=application/cloudevents+json") == 1
        assert read.count(f'"id":"{json.loads(receipt)["id"]}"') == 1
    assert staying.leave(signal.SIGINT) == 0
    assert staying.errors.read_text() == ""
    assert list(staying.folder.iterdir()) == []


def test_two_run_side_by_side(staying: Staying) -> None:
    """A second demo runs beside the first; told to take its port it says so in one sentence, exit 1."""
    text = staying.read_until(LAST_LINE)
    assert run("--once").returncode == 0
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/webhooks", line_of(text, "curl"))
    second = run("--once", "--port", port)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"relay: 127.0.0.1:{port} is taken; choose another with --port, or leave it out for any free one\n"
    )


def test_what_is_not_the_demonstrations_is_told_on_stderr(staying: Staying) -> None:
    """A warning of the relay about what a person did, such as a forgery of theirs, is a line on stderr."""
    curl = line_of(staying.read_until(LAST_LINE), "curl")
    assert "error" in json.loads(shell(curl.replace('"Sales"', '"Forged"')))
    assert staying.leave(signal.SIGTERM) == 0
    (warning,) = staying.errors.read_text().splitlines()
    assert warning.startswith("relay: warning delivery.rejected ")
    assert "reason=bad_signature" in warning


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_left_while_it_works(staying: Staying, number: signal.Signals) -> None:
    """A signal among the samples ends it at once, exit 0, and nothing stays behind."""
    staying.read_until("The relay takes")
    assert staying.leave(number) == 0
    assert staying.errors.read_text() == ""
    assert list(staying.folder.iterdir()) == []


def test_nobody_at_the_address_is_one_sentence() -> None:
    """With --kafka and no Kafka there it ends within seconds, says so, and does not start anything."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        missing = run("--once", "--kafka", address)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"relay: no Kafka answers at {address}\n"


@pytest.mark.parametrize(("environ", "colored"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(environ: dict[str, str], colored: bool) -> None:
    """A terminal gets colours, unless NO_COLOR says otherwise."""
    terminal, slave = pty.openpty()
    text = b""
    with subprocess.Popen([*COMMAND, "--once"], stdout=slave, env={**os.environ, **environ}) as process:
        os.close(slave)
        # A terminal that nobody writes to any more gives EIO on Linux, and nothing elsewhere.
        with contextlib.suppress(OSError):
            while more := os.read(terminal, 4096):
                text += more
    os.close(terminal)
    assert process.returncode == 0
    assert (b"\x1b[" in text) is colored


async def test_a_real_cluster_takes_the_place_of_the_embedded_one(kafka: Cluster) -> None:
    """With --kafka the same is shown on real Kafka, in topics of the demo's own."""
    demo = run("--once", "--kafka", kafka.bootstrap_servers)
    assert (demo.returncode, demo.stderr) == (0, "")
    deliveries = shown.read(demo.stdout)
    assert outcomes(deliveries) == EIGHT
    places = [record.place for delivery in deliveries for record in delivery.records]
    assert all(topic.startswith("relay-demo.") for topic, _, _ in places)
    (started,) = deliveries[STARTED].records
    stored = await read_topic(kafka.bootstrap_servers, started.place[0])
    same = [record for record in stored if record.value == started.value.encode()]
    assert [(record.partition, record.offset) for record in same] == [started.place[1:]]
    assert same[0].key == started.key.encode()
