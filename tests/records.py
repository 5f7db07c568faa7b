"""Records as the tests look at them: read back from real Kafka, and rows of the spool's file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tests.kafka.reader import read_topic

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster


def envelopes(kafka: Cluster, topic: str) -> list[dict[str, object]]:
    """Give the CloudEvents of a topic in structured mode, by partition and offset."""
    records = asyncio.run(read_topic(kafka.bootstrap_servers, topic))
    return [json.loads(record.value or b"") for record in records]


def ids(kafka: Cluster, topic: str) -> list[object]:
    """Give the ids of a topic's CloudEvents, by partition and offset."""
    return [envelope["id"] for envelope in envelopes(kafka, topic)]


def dead_letter(folder: Path, number: object) -> tuple[str, str, bytes, str]:
    """Give status, reason, body and signature of a delivery in the spool's file, read beside the relay."""
    with closing(sqlite3.connect(f"file:{folder}/spool.db?mode=ro", uri=True)) as connection:
        query = "SELECT status, reason, body, signature FROM deliveries JOIN bodies USING (number) WHERE number = ?"
        (row,) = connection.execute(query, (number,)).fetchall()
    status, reason, body, signature = row
    return status, reason, body, signature
