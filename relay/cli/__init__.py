"""The command line: what each verb takes, prints and exits with.

Data goes to stdout, everything else to stderr. Exit 0; 1 the answer is no; 2 usage; 70 something
unexpected, or nothing that could be looked at; 78 configuration. Parts are imported when a verb needs them, so
that `--help` is quick.

    running         run, healthcheck
    configuring     validate
    sending         send, demo
    explaining      explain
    verifying       verify
    rejecting       rejected list
    deliveries      deliveries list, deliveries show
    auditing        audit
    drilling        drill
    changing        deliveries replay, deliveries discard; selection: which; way: through the relay, or at rest
    keys            keys list, keys fetch, keys retire; line: to the relay that runs
    endpoints       endpoints list, endpoints register, endpoints delete, endpoints sync
    options, exits  what verbs share
    keyed           the keys, for verbs that look at what was signed
    saved           a request that somebody has kept
    lookup, today   a delivery found in the spool, and what can be said of it now
    account, rules, text   how that is laid out, for people and as JSON
"""

from __future__ import annotations

from typing import NoReturn

import click

from relay import __version__
from relay.cli.auditing import audit
from relay.cli.changing import discard, replay
from relay.cli.configuring import validate
from relay.cli.deliveries import deliveries
from relay.cli.drilling import drill
from relay.cli.endpoints import endpoints
from relay.cli.exits import UNEXPECTED, fail
from relay.cli.explaining import explain
from relay.cli.keys import keys
from relay.cli.rejecting import rejected
from relay.cli.running import healthcheck, run
from relay.cli.sending import demo, send
from relay.cli.verifying import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay")
def cli() -> None:
    """Take signed Syskit Point webhooks in, publish CloudEvents to Kafka."""


for verb in (
    run, validate, send, explain, verify, rejected, deliveries, keys, endpoints, audit, healthcheck, demo, drill,
):  # fmt: skip
    cli.add_command(verb)
for verb in (replay, discard):
    deliveries.add_command(verb)


def main() -> NoReturn:
    """Run the command line and exit; what nobody expected is one line and exit 70."""
    try:
        cli.main(standalone_mode=True)
    except Exception as error:  # noqa: BLE001 - a traceback helps nobody who runs a command
        fail(f"unexpected {type(error).__name__}: {error}", UNEXPECTED)
    raise SystemExit(0)
