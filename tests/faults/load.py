"""Load: signed deliveries with known ids over real sockets, at a bounded rate, and the answer that each one got."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from relay.core.signature import sign
from tests.running import request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.core.model import Placed
    from tests.running import Running
    from tests.wire import Answer, Wire

SENDERS = 16
WORKSPACES = 12  # of each source; each has a key of its own
KINDS = ("ProvisioningStarted", "ProvisioningCompleted", "ProvisioningFailed")
KEYS = {"contoso": "158b08cc-6a06-49f2-a724-2bc514fdcf1e", "fabrikam": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}
WRONG_KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
ABANDONED = 0.2  # of those that got no answer are never sent again
REPEATED = 0.03  # of those that were accepted are sent again all the same
FORGED = 0.02
LARGE = 0.03
LARGE_BYTES = 9_000
ACCEPTED, UNAUTHORISED = 202, 401
RETRY = 0.05  # seconds before what was refused, or got no answer, is sent again


class Sent(NamedTuple):
    """What was signed and sent under an id: what has to be found under it, and where."""

    source: str
    workspace: str
    kind: str
    content: Mapping[str, str]
    topics: Sequence[str]

    @property
    def key(self) -> str:
        """The key of its records."""
        return key_of(self.source, self.workspace)

    @property
    def large(self) -> bool:
        """Whether its records are larger than those of most others by far."""
        return "padding" in self.content


@dataclass(frozen=True, slots=True)
class Answered:
    """The first 2xx of an id: its place in the order of acceptance, the word, the records told, and when."""

    number: int
    word: str
    records: Sequence[Placed]
    at: float


class Load:
    """Posts deliveries of several sources, kinds and workspaces until told to stop.

    A delivery that was refused for the moment (429, 503) or got no answer is sent again, the same, until
    it is accepted; some of those without an answer are left in doubt. Some carry a signature that is wrong.
    `sent` holds what was signed, by id, from before its first byte leaves; `answered` what was answered 2xx;
    `wrong` what was answered as it never should be. Safe to read while it runs.
    """

    def __init__(self, relay: Running, topics: Mapping[str, str], rate: float, seed: int) -> None:
        """Prepare to send `rate` a second at most; `topics` are those of `all_topics`, by their last name."""
        self._relay, self._topics, self._period = relay, topics, 1 / rate
        self._seed = seed
        self._over = threading.Event()
        self._aborted = False
        self._pacing = threading.Lock()
        self._next = time.monotonic()
        self._count = 0
        self.sent: dict[str, Sent] = {}
        self.answered: dict[str, Answered] = {}
        self.wrong: list[str] = []
        self.forged = 0
        self._refused_at = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(SENDERS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 60.0) -> None:
        """Send nothing new; return when what was begun has its answer. Raises `TimeoutError`."""
        self._over.set()
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError("a delivery was begun and got no answer")

    def abort(self) -> None:
        """End at once, whatever is under way."""
        self._aborted = True
        self._over.set()

    def refused_since(self, moment: float) -> bool:
        """Tell whether a delivery was answered that it is not stored for now, since a moment (epoch seconds)."""
        return self._refused_at > moment

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        sender = _Sender(self._relay)
        while self._pace():
            if chance.random() < FORGED:
                self._forge(sender, chance)
                continue
            event_id, sent = self._make(chance)
            self.sent[event_id] = sent
            accepted = self._insist(sender, chance, event_id, sent)
            if accepted and chance.random() < REPEATED:
                self._insist(sender, chance, event_id, sent)
        sender.hang_up()

    def _pace(self) -> bool:
        """Wait for one's turn; what was missed while the relay was away is not made up for. False at the end."""
        with self._pacing:
            now = time.monotonic()
            self._next = max(self._next, now - self._period) + self._period
            wait = self._next - now
        return not self._over.wait(max(0.0, wait))

    def _make(self, chance: random.Random) -> tuple[str, Sent]:
        with self._pacing:
            self._count += 1
            number = self._count
        source, kind = chance.choice(list(KEYS)), chance.choice(KINDS)
        workspace = workspace_of(chance.randrange(WORKSPACES))
        content = {"name": workspace, "type": "MicrosoftTeams", "nonce": f"{chance.getrandbits(64):016x}"}
        if chance.random() < LARGE:
            content["padding"] = "p" * LARGE_BYTES
        topics = [self._topics[source]]
        topics += [self._topics["failed"]] if kind == "ProvisioningFailed" else []
        return f"{source}-{number:07}", Sent(source, workspace, kind, content, topics)

    def _insist(self, sender: _Sender, chance: random.Random, event_id: str, sent: Sent) -> bool:
        """Send until it is accepted, or given up; tell which."""
        body = body_of(event_id, sent)
        while not self._aborted:
            answer = sender.post(sent.source, body, KEYS[sent.source])
            if answer is None and chance.random() < ABANDONED:
                return False
            if answer is not None and answer.status == ACCEPTED:
                self._note(event_id, answer)
                return True
            if answer is not None and answer.status not in (429, 503):
                self.wrong.append(f"{event_id}: {answer.status}")
                return False
            if answer is not None:
                self._refused_at = time.time()
                if "retry-after" not in answer.headers:
                    self.wrong.append(f"{event_id}: {answer.status} without Retry-After")
            time.sleep(RETRY)
        return False

    def _note(self, event_id: str, answer: Answer) -> None:
        fields = answer.fields
        number, word = fields["delivery"], str(fields["status"])
        assert isinstance(number, int)
        first = self.answered.get(event_id)
        if first is None:
            self.answered[event_id] = Answered(number, word, answer.records, time.time())
        elif (word, number) != ("duplicate", first.number):
            self.wrong.append(f"{event_id}: a repeat of {first.number} was answered {word} {number}")

    def _forge(self, sender: _Sender, chance: random.Random) -> None:
        """Send what must not get in: signed with another key, or with the key of the other source."""
        _, sent = self._make(chance)
        self.forged += 1
        key = chance.choice([WRONG_KEY, *(key for source, key in KEYS.items() if source != sent.source)])
        answer = sender.post(sent.source, body_of(f"forged-{self.forged}", sent), key)
        if answer is not None and answer.status != UNAUTHORISED:
            self.wrong.append(f"a forgery was answered {answer.status}")


class _Sender:
    """One connection to the relay, made again when it breaks."""

    def __init__(self, relay: Running) -> None:
        self._relay = relay
        self._wire: Wire | None = None

    def post(self, source: str, body: bytes, key: str) -> Answer | None:
        """Post one delivery; None when no answer came, be it that nobody listens or that the line broke."""
        headers = {"Signature": sign(key.encode(), body), "Algorithm": "HMACSHA256"}
        try:
            self._wire = self._wire or self._relay.wire()
            answer = self._wire.ask(request(body, headers, f"/webhooks/{source}"))
        except OSError:
            self.hang_up()
            return None
        if answer.headers.get("connection") == "close":
            self.hang_up()
        return answer

    def hang_up(self) -> None:
        """Close the connection."""
        if self._wire:
            self._wire.close()
        self._wire = None


def workspace_of(number: int) -> str:
    """Name a workspace."""
    return f"workspace-{number}"


def key_of(source: str, workspace: str) -> str:
    """Give the key of all records of a workspace."""
    return f"{source}/MicrosoftTeams/{workspace}"


def body_of(event_id: str, sent: Sent) -> bytes:
    """Give the body of a delivery, always the same for the same id."""
    meta = {"timeStamp": "2023-10-05T14:48:00", "idempotencyKey": event_id}
    return json.dumps({"type": sent.kind, "content": sent.content, "meta": meta}).encode()
