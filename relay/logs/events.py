"""Every event the relay logs, by name, with its meaning; docs/logs.md shows the same table."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "config.loaded": "The configuration was read and is in force.",
        "source.unauthenticated_fields": "A source signs the content only: type, id and time are not authenticated.",
        "source.missing": "Deliveries are pending whose source is no longer configured; they wait until it is.",
        "relay.started": "Both listeners are open.",
        "relay.at_least_once": "Without idempotence a crash may put records into Kafka twice.",
        "relay.draining": "A stop was asked for: not ready, no new connections, what is in flight goes on.",
        "relay.stopped": "The spool is closed and the process ends; pending deliveries wait for the next start.",
        "relay.failed": "The relay cannot start, or a part of it ended with an unexpected error; the process ends.",
        "delivery.accepted": "A delivery was stored (debug only).",
        "delivery.published": "A delivery was settled: Kafka has all its records.",
        "delivery.dead": "A delivery was settled as a dead letter, with its reason.",
        "delivery.dropped": "A delivery was settled as dropped by the named rule, or as a mirror without a topic.",
        "delivery.replayed": "A delivery was put into the order once more, as an entry of its own.",
        "delivery.discarded": "A dead letter, or a replay that waited, was given up by a person, whose words are kept.",
        "delivery.mirrored": "A dead letter is on its way into the topic of dead letters, as an entry of its own.",
        "delivery.duplicate": "A repeat of an accepted delivery was answered with the first one's receipt.",
        "delivery.rejected": "A request was refused with 4xx, not stored; ten a second are told, some with a verdict.",
        "doctor.failed": "A fault of the relay kept the doctor from a refused request; nothing else is hindered.",
        "delivery.unavailable": "A request was answered 429 or 503 and not stored; ten a second of one cause are told.",
        "delivery.stranded": "A fault of the relay kept a stored delivery from its lanes; the next start publishes it.",
        "key.added": "Syskit Point gave a new key, good at once; the one before it stays good for the overlap.",
        "key.retired": "A key is good no more: its overlap is over, or it was retired by hand.",
        "key.fetched": "A key was fetched again, after a time in which it could not be.",
        "key.unfetched": "The key could not be fetched, and why; the keys there are stay good, and it is tried again.",
        "key.refused": "The configuration has a key that was retired by hand; it is not good, and has to be taken out.",
        "keys.damaged": "The file of keys is damaged and was set aside: what was fetched or retired is not known.",
        "keys.exposed": "Others than the owner could read the file of keys; its mode is 0600 again, unless told.",
        "keys.unsaved": "The file of keys could not be written; it is as it was before.",
        "registration.missing": "Syskit Point has the endpoint not registered, or not as configured.",
        "registration.mended": "The endpoint was registered as configured.",
        "registration.failed": "The registration could not be looked at or mended, and why; it is tried again.",
        "registration.unmended": "Mending did not help: what is missing is registered again, other types are let be.",
        "algorithm.mismatched": "A signature verified although the Algorithm header was missing or named another.",
        "token.kept": "A token of Entra ID could not be renewed in time; the one before serves until it ends.",
        "spool.opened": "The spool is open: its size, and what is pending.",
        "spool.failed": "The disk failed a commit: those waiting got 503, and the spool opens anew.",
        "spool.swept": "Settled deliveries left the spool, by age or for space.",
        "spool.damaged": "The file is damaged, or was deleted: a new one is made of what can be read.",
        "spool.salvaged": "The new file is in place: what is kept, lost, or doubled, and where the old one is.",
        "spool.squeezed": "The disk is full: the ballast was given up, and only what the file has already is used.",
        "spool.eased": "The disk has room again: the ballast is back, and deliveries are taken up to spool.max_size.",
        "lane.opened": "A topic has something to publish: its lane begins.",
        "lane.closed": "A topic's lane had nothing to do for a while and ended.",
        "lane.recovering": "A lane hands its flights over again before it publishes.",
        "lane.recovered": "All flights of a lane are settled; it publishes again.",
        "lane.failed": "A lane cannot publish, says why, and tries again after a pause.",
        "lane.delayed": "A batch has had no answer for seconds, and why; its lane waits on, and senders do not.",
        "lane.healed": "A lane that could not publish does so again, after so many seconds.",
        "lane.broken": "A fault of the relay itself stopped a lane; it tries again, and the others go on.",
        "flight.doubtful": "A flight is sent again although Kafka may hold it: possible duplicates, counted.",
        "mirror.waiting": "Dead letters could not be mirrored now, which is tried again.",
        "topic.created": "A topic was created.",
        "topic.missing": "A topic does not exist and may not be created; its lane waits.",
        "topic.unknown": "Kafka could not be asked for a topic that a rule names; it is asked again.",
        "gauges.unread": "The gauges could not be read for a scrape; the counters are shown without them.",
        "checks.unread": "The health checks could not be read; the relay says it is not ready.",
        "library.reported": "A library of the relay warned: its logger, message and error.",
    }
)
