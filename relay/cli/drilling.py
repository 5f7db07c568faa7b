"""The drill: a relay of one's own broken on one's own cluster, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import click
from click.core import ParameterSource

from relay.cli.exits import NO, UNEXPECTED, fail, leave
from relay.cli.options import config_option, json_option, load_config
from relay.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.sandbox.drill import Plan, Report
    from relay.sandbox.embedded import EmbeddedKafka
    from relay.sandbox.ordeal import Blow

BROKERS = 3  # of the embedded Kafka
SHOWN = 20  # complaints of one kind that are printed


class _Lasting(click.ParamType[float]):
    """A length of time as the configuration writes one."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it into seconds."""
        from pydantic_core import PydanticCustomError

        from relay.config.scalar import Duration

        try:
            return Duration("1s", "7d").parse(value)
        except PydanticCustomError as error:
            self.fail(error.message(), param, ctx)


def _checked(_context: click.Context, _option: click.Parameter, prefix: str | None) -> str | None:
    """Refuse what begins no topic's name, and what begins all."""
    from relay.core.routing import legal_topic

    if prefix is not None and not legal_topic(prefix):
        raise click.BadParameter("it begins the names of topics: letters, digits, . _ or -")
    return prefix


@click.command(short_help="Break a relay in every way there is, and prove that nothing is lost.")
@click.option(
    "--rate", type=click.FloatRange(1, 1000), default=50, show_default=True,
    help="Deliveries a second, at most: as one source does, each workspace waits for its last answer.",
)  # fmt: skip
@click.option(
    "--time",
    "seconds",
    type=_Lasting(),
    default="60s",
    show_default=True,
    help="At least so long, as in 30s or 5m; each fault is dealt once at least, however long that takes.",
)
@click.option("--seed", type=int, help="Decides the order of the faults; by default another each time.")
@click.option(
    "--prefix", callback=_checked, help="Of its topics, and of no other; by default relay-drill. and eight letters."
)
@click.option("--keep", is_flag=True, help="Do not delete its topics.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Use an embedded Kafka in place of the configured one, and without -c the demo's rules.",
)
@config_option
@json_option
def drill(  # noqa: PLR0913, PLR0917 - click's options
    rate: float,
    seconds: float,
    seed: int | None,
    prefix: str | None,
    keep: bool,  # noqa: FBT001 - click's flags
    sandbox: bool,  # noqa: FBT001 - click's flag
    path: Path,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Break a relay in every way there is, and prove that nothing is lost, forged, doubled or reordered.

    It is a relay by the configuration and on its Kafka, with a spool, ports and topics of its own. Signed deliveries
    are sent to it, while it is killed, its way to Kafka cut, frozen and slowed, answers held back, and its spool
    filled. Where there are several brokers each is cut off and frozen for it as well; none of yours is ever stopped,
    those of the sandbox are killed. Then all is read back.

    Exit 1 when anything was lost, forged, doubled or reordered, or the relay did not recover; 70 when that could not
    be found out. Your relay, spool and topics are not touched. Ctrl-C or SIGTERM breaks it off, and leaves nothing
    behind.
    """
    demo = sandbox and click.get_current_context().get_parameter_source("path") is ParameterSource.DEFAULT
    if not demo:
        load_config(path, as_json=as_json)
    from relay.sandbox.drill import Plan

    embedded = _embedded() if sandbox else None
    plan = Plan(
        config=None if demo else path.absolute(),
        rate=rate,
        seconds=seconds,
        seed=random.randrange(1 << 31) if seed is None else seed,  # noqa: S311 - no secret
        prefix=f"relay-drill.{uuid4().hex[:8]}." if prefix is None else prefix,
        keep=keep or sandbox,
        embedded=embedded,
    )
    report = _run(plan, as_json=as_json)
    _tell(plan, report, as_json=as_json)
    if not report.clean:
        leave(NO)


def _embedded() -> EmbeddedKafka:
    try:
        from relay.sandbox.embedded import EmbeddedKafka
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        fail("the sandbox needs confluent-kafka: in the repository, pip install '.[demo]'", UNEXPECTED)
    return EmbeddedKafka(BROKERS)


def _run(plan: Plan, *, as_json: bool) -> Report:
    from relay.sandbox import drill as sandbox
    from relay.sandbox.failure import Failure

    def announce(brokers: Sequence[str]) -> None:
        load = f"at most {plan.rate:g} deliveries a second, seed {plan.seed}"
        click.echo(f"a relay on {', '.join(brokers)}, topics {plan.prefix}*, {load}", err=as_json)

    def tell(blow: Blow) -> None:
        recovery = "NOT recovered" if blow.recovery is None else f"recovered in {blow.recovery:.1f} s"
        click.echo(f"{blow.at:7.1f} s  {blow.fault:<45} {blow.lasted:5.1f} s  {recovery}", err=as_json)

    # What is left to do is the same: the relay is ended, the topics and the folder are deleted. A shell that starts it
    # in the background has SIGINT ignored, and so it would be raised in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return sandbox.run(plan, announce, tell)
    except Failure as failure:
        fail(str(failure), UNEXPECTED)
    except KeyboardInterrupt:
        fail("broken off", UNEXPECTED)


def _tell(plan: Plan, report: Report, *, as_json: bool) -> None:
    if as_json:
        fields = dataclasses.asdict(report) | {"blows": [blow._asdict() for blow in report.blows]}
        fields |= {"seed": plan.seed, "prefix": plan.prefix, "clean": report.clean}
        click.echo(json.dumps(fields | {"longest_recovery": report.longest_recovery}))
        return
    sent = report.sent
    click.echo(
        f"sent {sent['sent']:,} in {report.seconds:.0f} s, acknowledged {sent['acknowledged']:,}; "
        f"{sent['forgeries']:,} forgeries refused; "
        f"{sent['refused']:,} answers of 429 or 503, {sent['unanswered']:,} requests without an answer"
    )
    for word, found in report.complaints.items():
        if word == "doubled" and not report.judges_doubles:
            continue
        for one in found[:SHOWN]:
            click.echo(f"{word.upper()}: {safe(one)}")
        if len(found) > SHOWN:
            click.echo(f"{word.upper()}: and {len(found) - SHOWN:,} more")
    for fault in report.audit:
        click.echo(f"AUDIT: {safe(fault)}")
    if not report.drained:
        click.echo("NOT drained: what is acknowledged waits on disk still")
    if report.figures["doubled"] and not report.judges_doubles:
        why = (
            "the embedded Kafka does not recognise a batch that comes again" if plan.embedded else "idempotence is off"
        )
        click.echo(f"doubles are not judged: {why}")
    longest = "none" if report.longest_recovery is None else f"{report.longest_recovery:.1f} s"
    figures = ", ".join(f"{word} {count:,}" for word, count in report.figures.items())
    click.echo(f"{figures}; longest recovery {longest}")
    if plan.keep and not plan.embedded:
        click.echo(f"the topics {plan.prefix}* are kept")
