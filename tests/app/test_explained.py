"""What the verbs say of a delivery is what happened to it, beside a relay that runs on real Kafka."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from tests.cli.typed import relay
from tests.running import event

if TYPE_CHECKING:
    from tests.app.conftest import Ground


def explained(ground: Ground, delivery: object, code: int) -> dict[str, Any]:
    """Ask `relay explain`."""
    done = relay("explain", str(delivery), "--json", "-c", str(ground.relay.config))
    assert done.returncode == code, done.stderr
    fields = json.loads(done.stdout)
    assert isinstance(fields, dict)
    return fields


def test_a_published_delivery_is_explained_with_its_places(ground: Ground) -> None:
    """Topic, partition and offset are those of the receipt, each with its flight; the sender's word and repeats too."""
    body = event(kind="ProvisioningFailed", event_id=str(uuid.uuid4()))
    receipt = ground.relay.post(body).fields
    assert ground.relay.post(body).fields["status"] == "duplicate"
    ground.relay.settle()
    found = explained(ground, receipt["delivery"], 0)
    assert [{key: record[key] for key in ("topic", "partition", "offset")} for record in found["records"]] == receipt[
        "records"
    ]
    assert all(record["flight"] for record in found["records"])
    assert (found["status"], found["answered"], found["repeats"]) == ("published", "published", 1)
    assert (found["flights"], found["waiting"], found["differs"], found["verified"]) == ([], [], None, True)
    today = [record["topic"] for record in found["today"]["outcome"]["records"]]
    assert today == ["app.failed", "app.provisioning-failed"]


def test_what_kafka_refused_is_explained(ground: Ground) -> None:
    """A record that is too large for its topic is dead by Kafka's word, although the rules give it: exit 1."""
    receipt = ground.relay.post(event("n" * 4000, kind="Small")).fields
    ground.relay.settle()
    found = explained(ground, receipt["delivery"], 1)
    assert (found["status"], found["reason"], found["differs"]) == ("dead", "too_large", None)
    assert [(record["topic"], record["reason"]) for record in found["records"]] == [("app.small", "too_large")]
