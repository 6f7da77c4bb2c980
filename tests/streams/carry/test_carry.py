"""A generation is raised in the middle of the stream, on a real Kafka: what comes of it is as if nothing had been."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from confluent_kafka.admin import NewPartitions

from schemas.apply.topics import apply_topics
from schemas.settings import to_environ
from schemas.topics import STATE_TABLES, TOPICS, changelog_of, streams_group
from streams.sessions.state import SessionStateCodec, new_state
from streams.topology import rules
from tests.streams.accounting import identities_differ, traffic
from tests.streams.commands_here import ask_here
from tests.streams.oracle import all_sessions
from tests.streams.raw import RAW, key_of, raw_event
from tests.streams.readers import FIELDS, dangling, live
from tests.streams.rig import StreamsRig
from tests.streams.universe import Row

GROWN = 6  # no multiple of what was: keys move among the old partitions, too
Pairs = Sequence[tuple[str, bytes]]


def carry(rig: StreamsRig, *options: str) -> tuple[int, str]:
    """Exit code and all that it said, once the workers that were stopped have left their group."""
    told: list[tuple[int, str]] = []

    def has_answered() -> bool:
        done = ask_here(rig.settings, "carry", "--from-generation", "1", *options)
        told.append((done.exit_code, done.stdout + done.stderr))
        return " workers; stop them" not in told[-1][1]

    rig.wait_until(has_answered, "the workers have left")
    return told[-1]


def process(rig: StreamsRig, pairs: Pairs) -> None:
    """Have a worker of the generation take these, and end."""
    rig.produce(pairs)
    worker = rig.worker(static=False)  # leaves its group when it ends
    worker.start()
    rig.catch_up()
    assert worker.terminate() == 0


def raise_generation(rig: StreamsRig, **changes: Any) -> None:
    rig.settings = rig.settings.model_copy(update={"streams_generation": 2, **changes})
    apply_topics(rig.settings)


def grow(rig: StreamsRig) -> None:
    """Add partitions to all topics whose number the settings say."""
    topics = [topic.name for topic in TOPICS.values() if topic.partitions is None]
    for done in rig.kafka.admin.create_partitions(
        [NewPartitions(rig.settings.topic(one), GROWN) for one in topics]
    ).values():
        done.result(30)
    rig.wait_until(lambda: {len(rig.kafka.ends(one)) for one in topics} == {GROWN}, "the partitions are there")
    rig.kafka.forget_places()


def assert_undisturbed(rig: StreamsRig, pairs: Pairs) -> None:
    """Each message is one event, and sessions and identities are the fold of all, whatever the sessions' names."""
    events = ((key.encode(), RAW.decode(value)) for key, value in pairs)
    sent = {(key, event["message_id"]): event for key, event in events}
    rows = rig.rows("enriched_events")
    assert Counter((row["key"], row["message_id"]) for row in rows) == dict.fromkeys(sent, 1)
    for row in rows:
        raw = sent[row["key"], row["message_id"]]
        campaign = json.loads(raw["context"]).get("campaign", {})
        row |= {
            f"utm_{name}": campaign.get(member)
            for name, member in (("source", "source"), ("medium", "medium"), ("campaign", "name"))
        }
        row["client_session_id"] = raw["client_session_id"]
    rows.sort(key=lambda row: (row["source_generation"], row["source_offset"]))
    expected = all_sessions(rows, rules(rig.settings).sessions, {})
    emitted = rig.rows("sessions")
    assert unnamed(live(emitted).values()) == unnamed(expected.values())
    assert dangling([(row["tenant_id"], row["session_id"]) for row in rows], emitted) == []
    assert identities_differ(rig, rows) == []


def unnamed(sessions: Any) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[field] for field in FIELDS if field != "session_id") for row in sessions)


def handshake(number: int, **ids: Any) -> tuple[str, bytes]:
    """One half of a handshake."""
    context = '{"handshake_token":"token"}'
    event: Row = raw_event(90_000 + number, context=context, properties=context, **ids)
    return key_of(event).decode(), RAW.encode(event)


def halves() -> tuple[Pairs, Pairs]:
    """What comes before and after: sessions are open in between, messages are sent again, half a handshake waits."""
    pairs = traffic(2_000, visitors=150)
    first = [*pairs[:1_000], handshake(1, anonymous_id="v-token")]
    second = [*pairs[900:], handshake(2, anonymous_id="", user_id="u-token")]
    return first, second


def test_sessions_are_those_of_the_undisturbed_fold_over_a_raised_generation(rig: StreamsRig) -> None:
    first, second = halves()
    process(rig, first)
    raise_generation(rig)
    code, told = carry(rig, "--dry-run")
    assert (code, "dry run" in told) == (0, True), told
    changelog = changelog_of("raw_events", rig.settings)
    assert rig.records(changelog) == []
    # A run that was interrupted has carried a state that left meanwhile.
    rig.kafka.produce(changelog, [(b"left", SessionStateCodec().encode(new_state()))], 0)
    code, told = carry(rig)
    assert (code, "start the workers" in told) == (0, True), told
    assert [record.value is None for record in rig.records(changelog) if record.key == b"left"] == [False, True]
    assert carry(rig) == (0, "carried before: the new generation starts where the former one ended\n")
    process(rig, second)
    assert_undisturbed(rig, [*first, *second])
    code, told = carry(rig)
    assert (code, "has worked already" in told) == (1, True), told


def test_sessions_are_those_of_the_undisturbed_fold_over_more_partitions(rig: StreamsRig) -> None:
    first, second = halves()
    process(rig, first)
    grow(rig)
    raise_generation(rig, partitions=GROWN)
    code, told = carry(rig)
    assert (code, "start the workers" in told) == (0, True), told
    process(rig, second)
    assert_undisturbed(rig, [*first, *second])


def test_what_cannot_be_exact_is_refused(rig: StreamsRig) -> None:
    former, group = rig.settings, rig.settings.topic(streams_group(rig.settings))
    first, second = halves()
    raise_generation(rig)
    assert_refused(rig, "has committed nothing")
    rig.settings = former
    process(rig, first)
    raise_generation(rig)

    # A worker was killed: it had published what it did not commit.
    last = max(rig.rows("enriched_events"), key=lambda row: int(row["source_offset"]))
    partition, offset = last["source_partition"], last["source_offset"]
    end = rig.kafka.ends("raw_events")[partition]
    rig.kafka.commit_places(group, [("raw_events", partition, offset)])
    assert_refused(rig, f"enriched_events/{partition} has events for which")
    # The topic is another one than that of the commits.
    rig.kafka.commit_places(group, [("raw_events", partition, end + 1)])
    assert_refused(rig, "was deleted and made anew")
    rig.kafka.commit_places(group, [("raw_events", partition, end)])

    # Records wait in a partition that is no longer their keys'.
    rig.produce(second)
    grow(rig)
    assert_refused(rig, "TALLY_PARTITIONS is 4")
    rig.kafka.admin.delete_topics([rig.settings.topic(changelog_of(one, rig.settings)) for one in STATE_TABLES])
    rig.wait_until(
        lambda: (
            rig.settings.topic(changelog_of("raw_events", rig.settings))
            not in rig.kafka.admin.list_topics(timeout=30).topics
        ),
        "deleted",
    )
    raise_generation(rig, partitions=GROWN)
    assert_refused(rig, "have another partition by now")
    assert rig.records(changelog_of("raw_events", rig.settings)) == []


def assert_refused(rig: StreamsRig, why: str) -> None:
    code, told = carry(rig)
    assert (code, told.startswith("refused: "), why in told) == (1, True, True), told


def test_it_waits_for_no_worker_and_writes_nothing_beside_one(rig: StreamsRig) -> None:
    rig.produce(halves()[0])
    worker = rig.worker()
    worker.start()
    rig.catch_up()
    raise_generation(rig)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    command = [sys.executable, "-m", "streams", "carry", "--from-generation", "1"]
    done = subprocess.run(command, env=environ | to_environ(rig.settings), capture_output=True, text=True, check=False)
    assert (done.returncode, "generation 1 has 1 workers" in done.stderr) == (1, True), done
    assert rig.records(changelog_of("raw_events", rig.settings)) == []
