"""Screen: how the demonstration looks on a terminal, and without colours elsewhere."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.sandbox.rotation import Rotated
    from relay.sandbox.samples import Sample
    from relay.sandbox.sender import Answer
    from relay.sandbox.subscriber import Read

WIDTH = 9
SHOWN_HEADERS = ("Signature", "Algorithm")
RECORD_FORMAT = r"%t, partition %p, offset %o\nkey: %k\nheaders: %h\n%s\n\n"


class Screen:
    """Writes to stdout what is shown, and to stderr what is not part of it.

    Bodies and values are written exactly as they are, on one line. Colours only on a terminal, and
    not with a `NO_COLOR` that is not empty (no-color.org).
    """

    def __init__(self) -> None:
        """Look at where stdout leads."""
        self._color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def opening(self, url: str, bootstrap: str, *, embedded: bool) -> None:
        """Say what runs, and where."""
        kafka = "an embedded Kafka" if embedded else "Kafka"
        self._line(f"The relay takes deliveries at {url}")
        self._line(f"and publishes them to {kafka} at {bootstrap}.")

    def introduced(self, point: str, types: Sequence[str], key_id: str) -> None:
        """Say what the relay has done by itself at Syskit Point."""
        self._line(f"At a simulated Syskit Point, {point}, it has registered that address for {', '.join(types)},")
        self._line(f"and fetched the signature key, whose fingerprint is {key_id}.")

    def rotation(self, rotated: Rotated) -> None:
        """Show what came of a rotation."""
        self._line()
        self._line(click.style("The key is rotated while workspaces are provisioned: nothing is refused.", bold=True))
        self._part("old key", f"{rotated.old}, signed {rotated.by_old} deliveries", "cyan")
        self._part("new key", f"{rotated.new}, signed {rotated.by_new} deliveries", "cyan")
        self._part("refused", f"0 of {rotated.by_old + rotated.by_new}, each sent once", "green")

    def title(self, number: int, sample: Sample) -> None:
        """Say what the next delivery shows."""
        self._line()
        self._line(click.style(f"{number}. {sample.title}", bold=True))

    def request(self, path: str, sample: Sample) -> None:
        """Show a request as it is sent, of its headers those that authenticate it."""
        self._part("request", f"POST {path} HTTP/1.1", "cyan")
        for name in SHOWN_HEADERS:
            self._more(f"{name}: {sample.headers[name]}")
        self._more(_text(sample.body))

    def answer(self, answer: Answer) -> None:
        """Show the answer: its status, and the receipt or the refusal."""
        self._part("answer", f"{answer.status} {answer.text}", "green" if answer.accepted else "yellow")

    def record(self, read: Read) -> None:
        """Show a record as a subscriber reads it."""
        placed = read.placed
        self._part("record", f"{placed.topic}, partition {placed.partition}, offset {placed.offset}", "magenta")
        self._more(f"key: {_text(read.key)}")
        for name, value in read.headers:
            self._more(f"header: {name}: {_text(value)}")
        self._more(_text(read.value))

    def note(self, name: str, text: str) -> None:
        """Say what neither answer nor record says."""
        self._part(name, text, "yellow")

    def closing(self, url: str, key: str, health: str) -> None:
        """Say where the relay is, for who wants to go on alone."""
        self._line()
        self._line(click.style("Now you.", bold=True))
        self._part("address", url, "cyan")
        self._part("key", key, "cyan")
        self._part("health", health, "cyan")

    def curl(self, url: str, sample: Sample) -> None:
        """Show a line for a shell that posts a delivery; no proxy is asked, as the address is this machine's."""
        headers = [part for name, value in sample.headers.items() for part in ("-H", f"{name}: {value}")]
        self._command(
            sample.title, ["curl", "-sS", "--noproxy", "*", url, *headers, "--data-binary", _text(sample.body)]
        )

    def kcat(self, bootstrap: str, topic: str) -> None:
        """Show a line for a shell that reads a topic from its beginning to its end."""
        command = ["kcat", "-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", RECORD_FORMAT]
        self._command("Read its topic:", command)

    def leaving(self) -> None:
        """Say how it ends."""
        self._line()
        self._line("Leave with Ctrl-C.")

    @staticmethod
    def warn(text: str) -> None:
        """Say on stderr what went wrong."""
        click.echo(f"relay: {text}", err=True)

    def _command(self, title: str, command: list[str]) -> None:
        # From the first column, so that a pasted line begins with the command.
        self._line()
        self._line(title)
        self._line(shlex.join(command))

    def _part(self, name: str, text: str, color: str) -> None:
        self._line(f"   {click.style(name.ljust(WIDTH), fg=color)}{text}")

    def _more(self, text: str) -> None:
        self._line(f"   {'':{WIDTH}}{text}")

    def _line(self, text: str = "") -> None:
        click.echo(text, color=self._color)


def _text(content: bytes) -> str:
    return content.decode(errors="backslashreplace")
