"""`relay deliveries replay` and `discard`, as an operator types them: told first, done when meant, never twice."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from click.testing import CliRunner

from relay.changes import Changes
from relay.cli.changing import discard
from relay.core.errors import Unavailable
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay, watched
from tests.running import Running, event, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.changes import Asked, Change

TOKEN = "0123456789abcdef-token"
ROUTES = [
    {"name": "known", "match": {"type": "Provisioning*"}, "topics": ["changing.known"]},
    {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
]
COUNTED = (
    "UPDATE totals SET (published, dropped, owed) = (SELECT count(*) FILTER (WHERE status = 'published'), "
    "count(*) FILTER (WHERE status = 'dropped'), coalesce(sum(deliveries.owed) FILTER (WHERE status = 'pending'), 0) "
    "FROM deliveries) WHERE moment = 'now'"
)
MENDED = [{"name": "all", "topics": ["changing.all"]}]


def stopped(folder: Path, **sections: object) -> Running:
    """Give a relay without Kafka that has had dead letters 1 to 3, a dropped one 4, a pending one 5, and stopped."""
    listen, admin = {"host": "127.0.0.1", "port": 0}, {"port": free_ports(1)[0]}
    configured = settings("127.0.0.1:9", folder, "", listen=listen, routes=ROUTES, ack={"after": "stored"}, admin=admin)
    running = Running(folder, configured | {"stop": {"timeout": "0s"}} | sections)
    with running:
        for number, kind in enumerate(["Unknown"] * 3 + ["Heartbeat", "ProvisioningStarted"], 1):
            running.post(event(kind=kind, event_id=f"e{number}"))
        assert running.stop() == 0
    return running


def mend(running: Running, **sections: object) -> None:
    """Change the configuration in its file."""
    running.config.write_text(json.dumps(json.loads(running.config.read_text()) | sections))


def typed(running: Running, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a verb on deliveries; give what it prints, and what it says."""
    done = relay("deliveries", *arguments, "-c", str(running.config))
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout, done.stderr


def states(running: Running) -> dict[int, str]:
    """Tell how each delivery is listed."""
    out, _ = typed(running, "list", "--json", "--oldest-first")
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return {line["delivery"]: line["withdrawn"] or line["status"] for line in lines}


def test_what_was_done_is_told_also_when_it_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces before the one that failed stand, and are named; the exit says that it went no further."""
    running = stopped(tmp_path)
    make, pieces = Changes.make, []

    async def fail_later(changes: Changes, asked: Asked) -> Sequence[Change]:
        pieces.append(asked.deliveries)
        if len(pieces) > 1:
            raise Unavailable("disk I/O error")
        return await make(changes, asked)

    monkeypatch.setattr("relay.cli.way.AT_ONCE", 2)
    monkeypatch.setattr("relay.logs.configure", lambda *_: None)  # which would be for all tests of this process
    monkeypatch.setattr(Changes, "make", fail_later)
    done = CliRunner().invoke(discard, ["--status", "dead", "--because", "noise", "--yes", "-c", str(running.config)])
    assert (done.exit_code, pieces) == (70, [(1, 2), (3,)])
    assert "discarded 2 deliveries\n" in done.output
    assert "disk I/O error" in done.output
    assert [states(running)[number] for number in (1, 2, 3)] == ["discarded", "discarded", "dead"]


def test_what_would_be_done_is_told_first(tmp_path: Path) -> None:
    """Without --yes, and nobody at a terminal, nothing is changed: the plan is printed, and the exit is 1."""
    running = stopped(tmp_path)
    mend(running, routes=MENDED)
    before = (tmp_path / "spool.db").read_bytes()
    plan = "would replay 3 deliveries\n" + "".join(f"  {n}  unroutable  into changing.all\n" for n in (1, 2, 3))
    assert typed(running, "replay", "--status", "dead", code=1) == (
        plan,
        "nothing was changed; with --yes it is done\n",
    )
    assert typed(running, "replay", "--status", "dead", "--dry-run", "--yes") == (plan, "")
    out, _ = typed(running, "discard", "2", "--because", "noise", "--dry-run")
    assert out == "would discard 1 delivery\n  2  unroutable\n"
    assert ((tmp_path / "spool.db").read_bytes(), states(running)[1]) == (before, "dead")


def test_a_spool_at_rest_is_changed(tmp_path: Path) -> None:
    """By the rules of the file; what was done is told, shown, and not done twice."""
    running = stopped(tmp_path)
    assert typed(running, "replay", "1", "--yes", code=1)[0] == (
        "left as it is: 1 delivery\n  1: it would be dead again, unroutable: no rule matches\n"
    )
    mend(running, routes=MENDED)
    out, _ = typed(running, "replay", "e1", "2", "5", "--yes", code=1)
    assert out == (
        "replayed 2 deliveries\n  1 as 6  unroutable  into changing.all\n  2 as 7  unroutable  into changing.all\n"
        "left as it is: 1 delivery\n  5: it is pending: on its way already\n"
    )
    assert (
        "2: it was replayed already, as delivery 7; only with --again"
        in typed(running, "replay", "2", "--yes", code=1)[0]
    )
    assert typed(running, "discard", "--status", "dead", "--because", "a \x1b[31mtest", "--yes")[0] == (
        "discarded 1 delivery\n  3  unroutable\n"
    )
    assert (
        "3: it is discarded: only dead letters are discarded"
        in typed(running, "discard", "3", "--because", "x", "--yes", code=1)[0]
    )
    assert states(running) == {
        1: "replayed", 2: "replayed", 3: "discarded", 4: "dropped", 5: "pending", 6: "pending", 7: "pending"
    }  # fmt: skip
    assert r"discarded  at" in typed(running, "show", "3")[0]
    assert r"a \x1b[31mtest" in typed(running, "show", "3")[0]
    assert "replayed   as delivery 6" in typed(running, "show", "1")[0]
    assert "replay of  delivery 1" in typed(running, "show", "6")[0]
    assert relay("explain", "1", "-c", str(running.config)).returncode == 0  # it is dead no more


def test_a_relay_that_runs_is_asked(tmp_path: Path) -> None:
    """It goes by its own rules, whatever the file says by now, and counts what is done; the sum holds."""
    running = stopped(tmp_path)
    with running:
        mend(running, routes=MENDED)
        assert "it would be dead again" in typed(running, "replay", "1", "--yes", code=1)[0]
        out, _ = typed(running, "replay", "1", "--topic", "changing.given", "--yes", "--json")
        assert json.loads(out) == {
            "delivery": 1, "reason": "unroutable", "topics": ["changing.given"], "replay": 6, "refused": None
        }  # fmt: skip
        typed(running, "replay", "4", "--topic", "changing.given", "--yes")
        typed(running, "discard", "2", "--because", "noise", "--yes")
        assert running.metric("relay_deliveries_replayed_total", source="contoso") == 2
        assert running.metric("relay_deliveries_withdrawn_total", withdrawn="discarded") == 1
        assert running.metric("relay_deliveries_withdrawn_total", withdrawn="replayed") == 1
        assert running.metric("relay_deliveries_pending") == 3
        assert running.told("delivery.discarded", delivery=2, because="noise")
        assert typed(running, "replay", "1", "--topic", "changing.given", code=1)[0].endswith(
            "  1: it was replayed already, as delivery 6; only with --again is that done twice\n"
        )
        assert "'no topic' is no legal topic name" in typed(running, "replay", "3", "--topic", "no topic", code=1)[0]
        assert running.stop() == 0


def test_the_token_is_brought_along(tmp_path: Path) -> None:
    """A relay with a token is asked with it; a command that has another is told so, and changes nothing."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    running = stopped(tmp_path, admin={"port": free_ports(1)[0], "token_file": str(token)})
    with running:
        typed(running, "discard", "1", "--because", "x", "--yes")
        token.write_text("another-token-of-16")
        _, said = typed(running, "discard", "2", "--because", "x", "--yes", code=1)
        assert (
            said
            == "relay: the relay says: this wants the token of admin.token_file, as Authorization: Bearer <token>\n"
        )
        assert states(running)[2] == "dead"
        assert running.stop() == 0


def test_the_wrong_relay_changes_nothing(tmp_path: Path) -> None:
    """Numbers are of one spool: a relay that has another refuses, and one that is not found is told of."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = stopped(tmp_path / "one"), stopped(tmp_path / "other")
    with one, other:
        right = json.loads(one.config.read_text())["admin"]
        mend(one, admin=json.loads(other.config.read_text())["admin"])
        _, said = typed(one, "discard", "1", "--because", "x", "--yes", code=1)
        assert said == f"relay: the relay says: the relay that answers has another spool, {tmp_path}/other/spool.db\n"
        mend(one, admin={"port": free_ports(1)[0]})
        _, said = typed(one, "discard", "1", "--because", "x", "--yes", code=1)
        assert said.startswith(
            f"relay: a relay runs on {tmp_path}/one/spool.db, and does not answer at 127.0.0.1 port "
        )
        assert said.endswith("(connection refused); check admin.host and admin.port, and the relay's log\n")
        mend(one, admin={"port": 0})
        _, said = typed(one, "discard", "1", "--because", "x", "--yes", code=1)
        assert said.startswith(f"relay: a relay runs on {tmp_path}/one/spool.db, and cannot be asked: admin.port is 0")
        mend(one, admin=right)
        assert (states(one)[1], states(other)[1]) == ("dead", "dead")
        assert (one.stop(), other.stop()) == (0, 0)


def test_one_that_answers_nonsense_is_told_of(tmp_path: Path) -> None:
    """What is at the admin listener's address may be no relay."""
    running = stopped(tmp_path)
    with running, socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(30)
        mend(running, admin={"port": stranger.getsockname()[1]})

        def babble(answer: bytes) -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        for answer, complaint in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is no relay"),
            (b"HTTP/1.1 404 Gone\r\nContent-Length: 4\r\n\r\n\x1b[2J", r"the relay says: \x1b[2J"),
        ):
            threading.Thread(target=babble, args=(answer,), daemon=True).start()
            _, said = typed(running, "replay", "1", code=1)
            assert complaint in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay",), "say which deliveries: by number or event id, or as in --status dead"),
        (("replay", "1", "--status", "dead"), "name deliveries, or say what they have in common; not both"),
        (("replay", "--status", "pending"), "Invalid value for '--status'"),
        (("discard", "--status", "published", "--because", "x"), "Invalid value for '--status'"),
        (("discard", "1"), "Missing option '--because'"),
        (("discard", "1", "--because", " "), "say why, in 1 to 1000 characters"),
        (("replay", "--since", "yesterday"), "is neither RFC 3339"),
    ],
)
def test_what_is_not_said_rightly_is_usage(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A selection that is none, or is two, is refused before anything is looked at."""
    running = Running(tmp_path, settings("127.0.0.1:9", tmp_path, "t"))
    assert said in typed(running, *arguments, code=2)[1]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """No spool, no such delivery, nothing that the filters let through."""
    running = Running(tmp_path, settings("127.0.0.1:9", tmp_path, "t"))
    assert "there is no spool at" in typed(running, "replay", "1", "--yes", code=70)[1]
    assert not (tmp_path / "spool.db.lock").exists()
    running = stopped(tmp_path)
    assert "there is no delivery 99" in typed(running, "replay", "1", "99", "--yes", code=1)[1]
    assert states(running)[1] == "dead"
    assert typed(running, "replay", "--reason", "too_large", "--yes") == ("", "no delivery is like that\n")
    assert typed(running, "discard", "--until", "1h", "--because", "x", "--yes") == ("", "no delivery is like that\n")


def test_replays_are_not_replayed_with_what_they_repeat(tmp_path: Path) -> None:
    """The same command once more finds what it has done, and an id means the delivery itself, not its copies."""
    running = stopped(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "spool.db"))) as connection:
        connection.execute(f"UPDATE deliveries SET status = 'published' WHERE number IN (4, 5); {COUNTED}")  # noqa: S608 - constant
        typed(running, "replay", "--status", "published", "--topic", "t", "--yes")
        connection.execute(f"UPDATE deliveries SET status = 'published' WHERE number IN (6, 7); {COUNTED}")  # noqa: S608 - constant
    out, _ = typed(running, "replay", "--status", "published", "--topic", "t", "--yes", code=1)
    assert out.startswith("left as they are: 2 deliveries\n  4: it was replayed already, as delivery 6")
    assert "replayed   as delivery 7" in typed(running, "show", "e5")[0]
    assert "5 as 8" in typed(running, "replay", "e5", "--topic", "t", "--again", "--yes")[0]
    assert "7 as 9" in typed(running, "replay", "7", "--topic", "t", "--yes")[0]


def many(folder: Path) -> Running:
    """Give a stopped relay with 503 dead letters."""
    running = stopped(folder)
    with closing(apsw.Connection(str(folder / "spool.db"))) as connection:
        for number in range(6, 506):
            columns = "source, event_id, type, received_at, key_id, signature, status, reason, detail, settled_at, owed"
            connection.execute(
                f"INSERT INTO deliveries (number, {columns}) SELECT ?, {columns} FROM deliveries WHERE number = 1",  # noqa: S608 - constant
                (number,),
            )
            connection.execute("INSERT INTO bodies SELECT ?, body FROM bodies WHERE number = 1", (number,))
            connection.execute("INSERT INTO ids VALUES (?, randomblob(16), randomblob(16), 1)", (number,))
    return running


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_bar_is_shown_at_a_terminal_only(tmp_path: Path) -> None:
    """On stderr, up to its end, for what is looked at and for what is done; where stderr is no terminal, nothing."""
    running = many(tmp_path)
    command = ["deliveries", "replay", "--status", "dead", "--topic", "t", "-c", str(running.config)]
    _, told = typed(running, *command[1:-2], "--dry-run")
    code, _, seen = watched(*command, "--yes")
    assert (code, told) == (0, "")
    assert re.search(r"looking  \[#+\]  100%", seen), seen
    assert re.search(r"doing  \[#+\]  100%", seen), seen


def test_many_are_changed_in_pieces(tmp_path: Path) -> None:
    """More than are asked for at once, in order, with so many lines for people and all of them for programs."""
    running = many(tmp_path)
    out, _ = typed(running, "replay", "--status", "dead", "--topic", "t", "--dry-run")
    assert out.startswith("would replay 503 deliveries\n")
    assert out.endswith("  and 483 more, all of which --json tells\n")
    out, _ = typed(running, "replay", "--status", "dead", "--topic", "t", "--yes", "--json")
    made = [json.loads(line) for line in out.splitlines()]
    assert [one["replay"] for one in made] == list(range(506, 1009))
    assert [one["delivery"] for one in made] == sorted(one["delivery"] for one in made)
    assert typed(running, "list", "--status", "dead") == ("", "no delivery is like that\n")
