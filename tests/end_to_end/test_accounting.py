"""`ledger`, `trace`, `dead-letters` and `replay` on a running pipeline, each with the fault it must see."""

import json
import uuid
from typing import Any

import pytest

from docker.local.services import CommandFailedError, Pipeline
from tests.end_to_end.asking import ask, lands


def ledger(shop: Pipeline) -> dict[str, Any]:
    """The ledger once nothing is in flight, whether it is sound or not."""
    found: dict[str, Any] = {}

    def settled() -> bool:
        try:
            found.update(json.loads(shop.run("sinks", "ledger", "--json")))
        except CommandFailedError as error:
            found.update(json.loads(str(error).split("\n", 1)[1].splitlines()[0]))
        return bool(found["in_flight"] == 0)

    shop.wait_until(settled, "nothing in flight")
    return found


def send(shop: Pipeline) -> str:
    """Three events, one of them twice, and one that is refused; the messageId of the repeated one."""
    twice = f"twice-{uuid.uuid4()}"
    batch = [
        {"type": "track", "event": "First", "anonymousId": "v", "messageId": twice},
        {"type": "track", "event": "First", "anonymousId": "v", "messageId": twice},
        {"type": "page", "anonymousId": "v", "name": "Home"},
        {"type": "identify", "anonymousId": "v", "userId": "u"},
        {"type": "track", "anonymousId": "v", "messageId": f"{twice}-refused"},
    ]
    assert shop.post("/v1/batch", {"batch": batch})[0] == 200
    lands(shop, "count() = 3", "events")
    lands(shop, "count() = 1", "dead_letters FINAL")
    return twice


def test_the_ledger_accounts_for_every_event_by_outcome(shop: Pipeline) -> None:
    send(shop)
    found = ledger(shop)
    assert found["sound"], found
    assert found["difference"] == 0
    counts = found["projects"][shop.project_id]
    assert counts == {"accepted": 5, "stored": 3, "duplicate": 1, "dead": 1}


def test_the_ledger_names_a_row_that_is_gone_and_one_that_stands_twice(shop: Pipeline) -> None:
    send(shop)
    assert ledger(shop)["sound"]
    mine = f"tenant_id = '{shop.tenant_id}' AND event_type = 'page'"
    place = ask(shop, "source_partition, source_offset", "events", "event_type = 'page'").split()

    shop.query(f"INSERT INTO events SELECT * FROM events WHERE {mine} SETTINGS insert_deduplicate = 0")
    found = ledger(shop)
    assert not found["sound"]
    assert found["doubled"] == {place[0]: [int(place[1])]}

    shop.query(f"ALTER TABLE events DELETE WHERE {mine} SETTINGS mutations_sync = 2")
    found = ledger(shop)
    assert not found["sound"]
    assert found["lost"] == {place[0]: [int(place[1])]}
    assert found["difference"] == 1
    # Put right for the tests that share the topics: the row's raw event is still there, but nothing reads it again.
    shop.query(
        "INSERT INTO events (event_id, message_id, tenant_id, project_id, timestamp, source_generation, "
        "source_partition, source_offset) "
        f"VALUES (generateUUIDv4(), generateUUIDv4(), 'repaired', 'repaired', now(), 1, {place[0]}, {place[1]})"
    )


def gauge(shop: Pipeline, outcome: str) -> float:
    """What the sink says of the ledger of this project."""
    sample = f'tally_sinks_ledger_project_events{{outcome="{outcome}",project="{shop.project_id}"}} '
    lines = shop.sinks.get("/metrics")[1].splitlines()
    return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))


def test_the_sink_s_metrics_say_what_the_ledger_says_and_a_row_that_is_gone(shop: Pipeline) -> None:
    send(shop)
    of_raw_events = {"stored": 3.0, "duplicate": 1.0, "lost": 0.0}  # the collector's dead letter never was there

    def shown(expected: dict[str, float]) -> None:
        shop.wait_until(
            lambda: {name: gauge(shop, name) for name in expected} == expected, f"metrics of the ledger: {expected}"
        )

    shown(of_raw_events)
    mine = f"tenant_id = '{shop.tenant_id}' AND event_type = 'page'"
    shop.query(
        f"CREATE OR REPLACE TABLE aside ENGINE = MergeTree ORDER BY event_id AS SELECT * FROM events WHERE {mine}"
    )
    shop.query(f"ALTER TABLE events DELETE WHERE {mine} SETTINGS mutations_sync = 2")
    shown({"stored": 2.0, "duplicate": 1.0, "lost": 1.0})
    shop.query("INSERT INTO events SELECT * FROM aside")
    shown(of_raw_events)


def test_trace_says_stored_and_duplicate_and_dead(shop: Pipeline) -> None:
    twice = send(shop)
    said = shop.run("sinks", "trace", twice)
    assert "stored (project" in said
    assert "duplicate (project" in said
    assert shop.project_id in said
    assert "event_not_string" in shop.run("sinks", "trace", f"{twice}-refused")
    with pytest.raises(CommandFailedError, match="nowhere"):
        shop.run("sinks", "trace", "never sent")


def test_dead_letters_are_listed_and_shown_with_their_bytes(shop: Pipeline) -> None:
    twice = send(shop)
    assert "event_not_string" in shop.run("sinks", "dead-letters", "list", "--project", shop.project_id)
    name = ask(shop, "dead_letter_id", "dead_letters FINAL").strip()
    shown = shop.run("sinks", "dead-letters", "show", name)
    assert f"{twice}-refused" in shown
    with pytest.raises(CommandFailedError, match="no dead letter"):
        shop.run("sinks", "dead-letters", "show", str(uuid.uuid4()))


def test_replaying_twice_changes_nothing(shop: Pipeline) -> None:
    send(shop)
    before = ledger(shop)
    only = ("--project", shop.project_id)
    assert "nothing sent" in shop.run("sinks", "replay", *only, "--dry-run")
    for _ in range(2):
        with pytest.raises(CommandFailedError, match=r"0 sent, 1 not\n.*refused again: event_not_string"):
            shop.run("sinks", "replay", *only)
    found = ledger(shop)
    assert found["sound"], found
    lands(shop, "count() = 3", "events")
    lands(shop, "count() = 1", "dead_letters FINAL")
    assert found["projects"][shop.project_id] == before["projects"][shop.project_id]
