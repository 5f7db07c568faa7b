"""The table of metrics: name, type, labels and meaning of each, in the order of docs/metrics.md.

Conservation, at rest: `relay_deliveries_pending` at start + accepted + replayed + mirrored = published + dead +
dropped + `relay_deliveries_pending`. Duplicates are not accepted ones; what is dead on arrival is accepted and dead.
A counter never goes down: a dead letter that is withdrawn stays counted as dead, and is counted as withdrawn too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS_OF_ANSWERS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SECONDS_OF_COMMITS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
OPERATIONS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as it is exposed. `buckets` are the upper bounds of a histogram, in the unit of its name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


ACCEPTED = Declared(
    "relay_deliveries_accepted_total", "counter", ("source",), "Deliveries stored, dead on arrival included."
)
DUPLICATE = Declared(
    "relay_deliveries_duplicate_total", "counter", ("source",), "Deliveries recognised as repeats; not accepted again."
)
REJECTED = Declared(
    "relay_deliveries_rejected_total",
    "counter",
    ("source", "reason"),
    "Requests refused with 4xx, throttled ones included, and never stored; source is none when no source has the path.",
)
PUBLISHED = Declared(
    "relay_deliveries_published_total",
    "counter",
    ("source", "type"),
    "Deliveries settled with all their records in Kafka; type is other for one that is not documented.",
)
DEAD = Declared(
    "relay_deliveries_dead_total", "counter", ("source", "reason"), "Deliveries settled as dead letters, by reason."
)
DROPPED = Declared(
    "relay_deliveries_dropped_total", "counter", ("source", "route"), "Deliveries settled as dropped, by the rule."
)
REPLAYED = Declared(
    "relay_deliveries_replayed_total",
    "counter",
    ("source",),
    "Replays stored: deliveries anew in the order, and not accepted ones.",
)
WITHDRAWN = Declared(
    "relay_deliveries_withdrawn_total",
    "counter",
    ("source", "withdrawn"),
    "Dead letters that left the dead ones, replayed or discarded: dropped in the spool, and still counted as dead.",
)
MIRRORED = Declared(
    "relay_deliveries_mirrored_total",
    "counter",
    ("source",),
    "Mirrors of dead letters stored: deliveries of their own in the order, and not accepted ones.",
)
PENDING = Declared("relay_deliveries_pending", "gauge", (), "Deliveries stored and not settled.")
UNAVAILABLE = Declared(
    "relay_deliveries_unavailable_total",
    "counter",
    ("cause",),
    "Requests answered 429 or 503, as the delivery could not be stored.",
)
RECORDS = Declared("relay_records_published_total", "counter", ("topic",), "Records acknowledged by Kafka.")
ALGORITHM_MISMATCH = Declared(
    "relay_algorithm_mismatch_total",
    "counter",
    ("source",),
    "Deliveries accepted whose Algorithm header was missing or named another algorithm.",
)
TIME_UNREADABLE = Declared(
    "relay_time_unreadable_total", "counter", ("source",), "Deliveries whose time stamp was missing or unreadable."
)
OTHER_READING = Declared(
    "relay_other_reading_total",
    "counter",
    ("source",),
    "Refused signatures that would verify under the other reading of signs (sampled): the setting is wrong.",
)
REJECTION_EXPLAINED = Declared(
    "relay_rejected_explained_total",
    "counter",
    ("source",),
    "Refused requests (sampled) whose signature would fit but for a mistake that the log names.",
)
ANSWER_SECONDS = Declared(
    "relay_answer_seconds",
    "histogram",
    ("status",),
    "Time from a request's head to its answer, by what the answer said.",
    SECONDS_OF_ANSWERS,
)
COMMIT_SECONDS = Declared(
    "relay_commit_seconds", "histogram", (), "Time of one commit of the spool, fsync included.", SECONDS_OF_COMMITS
)
COMMIT_OPERATIONS = Declared(
    "relay_commit_operations", "histogram", (), "Appends, flights and settlements that shared one commit.", OPERATIONS
)
SPOOL_BYTES = Declared("relay_spool_bytes", "gauge", (), "Bytes of the spool in use.")
SPOOL_MAX_BYTES = Declared(
    "relay_spool_max_bytes", "gauge", (), "Bytes the spool may use: spool.max_size, or less while the disk is full."
)
SPOOL_DEAD_BYTES = Declared("relay_spool_dead_bytes", "gauge", (), "Bytes held by dead letters; they have a quota.")
SPOOL_LOST = Declared(
    "relay_spool_lost_deliveries",
    "gauge",
    (),
    "Deliveries that could not be read from a damaged spool since the start; the log names the file set aside.",
)
SPOOL_DOUBTFUL = Declared(
    "relay_spool_doubtful_deliveries",
    "gauge",
    (),
    "Deliveries sent anew since the start because a damaged spool had lost what says whether Kafka has them.",
)
DEDUPE_IDS = Declared("relay_dedupe_ids", "gauge", (), "Ids among which a duplicate is recognised.")
DEDUPE_HORIZON = Declared(
    "relay_dedupe_horizon_seconds", "gauge", (), "Age of the oldest id among which a duplicate is recognised."
)
POSSIBLE_DUPLICATES = Declared(
    "relay_possible_duplicates_total",
    "counter",
    ("topic",),
    "Records sent again of which Kafka may hold the first; anything but 0 wants a look.",
)
LANE_RECOVERIES = Declared("relay_lane_recoveries_total", "counter", ("topic",), "Recoveries a lane has gone through.")
LANES = Declared("relay_lanes", "gauge", ("state",), "Open lanes by state.")
LANE_RECORDS = Declared(
    "relay_lane_pending_records", "gauge", ("topic",), "Records a lane has still to publish, on disk or in memory."
)
LANE_BYTES = Declared(
    "relay_lane_pending_bytes", "gauge", ("topic",), "Bytes of keys and values a lane has still to publish."
)
LANE_OLDEST = Declared(
    "relay_lane_oldest_seconds", "gauge", ("topic",), "Age of the oldest delivery a lane has still to publish."
)
FLIGHTS = Declared("relay_flights", "gauge", (), "Batches journalled and not acknowledged.")
FLIGHT_OLDEST = Declared("relay_flight_oldest_seconds", "gauge", (), "Age of the oldest flight.")
REQUESTS_IN_FLIGHT = Declared("relay_requests_in_flight", "gauge", (), "Requests read or waiting to be stored.")
ANSWERS_WAITING = Declared("relay_answers_waiting", "gauge", (), "Answers held back until Kafka has acknowledged.")
KEY_AGE = Declared(
    "relay_key_age_seconds", "gauge", ("source", "key"), "Time since a good key was first seen; key is its fingerprint."
)
KEY_UNUSED = Declared(
    "relay_key_unused_seconds",
    "gauge",
    ("source", "key"),
    "Time since a good key last signed a delivery; absent for one that never did.",
)
KEY_LEFT = Declared(
    "relay_key_retirement_days", "gauge", ("source", "key"), "Days until a key retires; absent for one without an end."
)
KEY_FETCHES = Declared(
    "relay_key_fetches_total", "counter", ("source", "outcome"), "Fetches of a signature key from Syskit Point."
)
KEY_FETCHED = Declared(
    "relay_key_fetched", "gauge", ("source",), "1 when the last fetch of the key succeeded, 0 when it failed."
)
REGISTRATIONS_MENDED = Declared(
    "relay_registrations_mended_total",
    "counter",
    ("source",),
    "Registrations at Syskit Point that were missing or another one than configured, and were made right.",
)
REGISTERED = Declared(
    "relay_registered",
    "gauge",
    ("source",),
    "1 when Syskit Point had the endpoint registered as configured when it was last asked, else 0.",
)
READY = Declared("relay_ready", "gauge", (), "1 exactly while /readyz says 200, else 0.")
EXACTLY_ONCE = Declared(
    "relay_exactly_once",
    "gauge",
    (),
    "1 while records stand in Kafka once after any crash; 0 with kafka.idempotence off.",
)
BUILD_INFO = Declared("relay_build_info", "gauge", ("version",), "Always 1; the label names the running version.")

TABLE = (
    ACCEPTED,
    DUPLICATE,
    REJECTED,
    PUBLISHED,
    DEAD,
    DROPPED,
    REPLAYED,
    WITHDRAWN,
    MIRRORED,
    PENDING,
    UNAVAILABLE,
    RECORDS,
    ALGORITHM_MISMATCH,
    TIME_UNREADABLE,
    OTHER_READING,
    REJECTION_EXPLAINED,
    ANSWER_SECONDS,
    COMMIT_SECONDS,
    COMMIT_OPERATIONS,
    SPOOL_BYTES,
    SPOOL_MAX_BYTES,
    SPOOL_DEAD_BYTES,
    SPOOL_LOST,
    SPOOL_DOUBTFUL,
    DEDUPE_IDS,
    DEDUPE_HORIZON,
    POSSIBLE_DUPLICATES,
    LANE_RECOVERIES,
    LANES,
    LANE_RECORDS,
    LANE_BYTES,
    LANE_OLDEST,
    FLIGHTS,
    FLIGHT_OLDEST,
    REQUESTS_IN_FLIGHT,
    ANSWERS_WAITING,
    KEY_AGE,
    KEY_UNUSED,
    KEY_LEFT,
    KEY_FETCHES,
    KEY_FETCHED,
    REGISTRATIONS_MENDED,
    REGISTERED,
    READY,
    EXACTLY_ONCE,
    BUILD_INFO,
)
