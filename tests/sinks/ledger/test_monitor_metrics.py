"""The ledger's metrics of a running sink: each moves by the fault it is there to show, and back when that is mended."""

import signal
from typing import Any

import pytest

from sinks.ledger.audit import reaches
from tests.sinks.accounts import Accounts
from tests.sinks.records import PROJECT
from tests.sinks.rig import Sink, SinkRig

SOUND = {"lost": 0, "doubled": 0}


@pytest.fixture
def accounts(rig: SinkRig) -> Accounts:
    rig.found_group()
    return Accounts(rig)


def run(accounts: Accounts, **overrides: Any) -> Sink:
    sink = accounts.rig.sink("enriched_events", "dead_letters", **({"sinks_ledger_interval_s": 1} | overrides))
    sink.start()
    return sink


def figures(sink: Sink) -> dict[str, float]:
    names = ("accepted", "stored", "duplicate", "dead", "in_flight", "lost", "doubled")
    found = {name: sink.metric(f'tally_sinks_ledger_events{{outcome="{name}"}}') for name in names}
    return found | {name: sink.metric(f"tally_sinks_ledger_{name}") for name in ("difference", "unchecked")}


def shows(accounts: Accounts, sink: Sink, **expected: float) -> None:
    """Return once the metrics are these, the others 0."""
    whole = dict.fromkeys(figures(sink), 0.0) | expected
    accounts.rig.wait_until(lambda: figures(sink) == whole, lambda: figures(sink))


def of_project(sink: Sink, project: str, outcome: str) -> float:
    return sink.metric(f'tally_sinks_ledger_project_events{{outcome="{outcome}",project="{project}"}}')


def test_a_sound_ledger_shows_every_outcome_and_no_difference(accounts: Accounts) -> None:
    accounts.accept(10, repeats={5: 1})
    accounts.accept(3, partition=1)
    accounts.hand_on(8, left_out={5}, refused={2})
    accounts.hand_on(3, partition=1)
    sink = run(accounts)
    shows(accounts, sink, accepted=13, stored=9, duplicate=1, dead=1, in_flight=2)
    outcomes = ("stored", "duplicate", "dead", "lost")
    assert [of_project(sink, PROJECT, outcome) for outcome in outcomes] == [9, 1, 1, 0]
    assert sink.metric("tally_sinks_ledger_timestamp_seconds") > 1e9


def test_a_deleted_row_is_lost_until_it_is_back(accounts: Accounts) -> None:
    accounts.accept(4)
    accounts.hand_on(4)
    sink = run(accounts)
    shows(accounts, sink, accepted=4, stored=4)
    accounts.rig.query("CREATE TABLE {db}.aside ENGINE = Memory AS SELECT * FROM {db}.events WHERE source_offset = 2")
    accounts.rig.query("ALTER TABLE {db}.events DELETE WHERE source_offset = 2 SETTINGS mutations_sync = 2")
    shows(accounts, sink, accepted=4, stored=3, lost=1, difference=1)
    assert of_project(sink, PROJECT, "lost") == 1
    assert sink.said("the ledger is not sound")
    accounts.rig.query("INSERT INTO {db}.events SELECT * FROM {db}.aside")
    shows(accounts, sink, accepted=4, stored=4)
    assert of_project(sink, PROJECT, "lost") == 0


def test_a_row_that_stands_twice_is_doubled_though_nothing_lacks(accounts: Accounts) -> None:
    accounts.accept(4)
    accounts.hand_on(4)
    sink = run(accounts)
    shows(accounts, sink, accepted=4, stored=4)
    twice = "INSERT INTO {db}.events SELECT * FROM {db}.events WHERE source_offset = 1 SETTINGS insert_deduplicate = 0"
    accounts.rig.query(twice)
    shows(accounts, sink, accepted=4, stored=4, doubled=1)


def test_an_event_that_streams_dropped_is_lost(accounts: Accounts) -> None:
    accounts.accept(4)
    accounts.hand_on(4, left_out={3})
    shows(accounts, run(accounts), accepted=4, stored=3, lost=1, difference=1)


def test_a_dead_letter_that_is_gone_is_a_loss(accounts: Accounts) -> None:
    accounts.accept(3)
    accounts.hand_on(3, refused={1})
    sink = run(accounts)
    shows(accounts, sink, accepted=3, stored=2, dead=1)
    accounts.rig.query("TRUNCATE TABLE {db}.dead_letters")
    shows(accounts, sink, accepted=3, stored=2, lost=1, difference=1)


def test_a_duplicate_whose_original_vanishes_is_no_duplicate_any_more(accounts: Accounts) -> None:
    accounts.accept(4, repeats={3: 1})
    accounts.hand_on(4, left_out={3})
    sink = run(accounts)
    shows(accounts, sink, accepted=4, stored=3, duplicate=1)
    accounts.rig.query("ALTER TABLE {db}.events DELETE WHERE source_offset = 1 SETTINGS mutations_sync = 2")
    shows(accounts, sink, accepted=4, stored=2, lost=2, difference=2)


def test_projects_beyond_the_limit_are_one(accounts: Accounts) -> None:
    accounts.accept(3)
    accounts.hand_on(3)
    sink = run(accounts, sinks_ledger_projects_max=0)
    shows(accounts, sink, accepted=3, stored=3)
    assert of_project(sink, "other", "stored") == 3
    assert of_project(sink, PROJECT, "stored") == 0


def test_an_interval_of_zero_keeps_no_ledger(accounts: Accounts) -> None:
    accounts.accept(1)
    accounts.hand_on(1)
    sink = run(accounts, sinks_ledger_interval_s=0)
    accounts.rig.wait_for_rows(1)
    assert "tally_sinks_ledger_events{" not in sink.get("/metrics")[1]
    assert sink.metric("tally_sinks_ledger_timestamp_seconds") == 0


def test_one_process_of_a_group_keeps_it_and_another_goes_on_when_that_is_gone(accounts: Accounts) -> None:
    accounts.accept(3)
    accounts.hand_on(3)
    first = run(accounts)
    shows(accounts, first, accepted=3, stored=3)
    second = run(accounts)
    keepers = {first: second, second: first}

    def keeping() -> list[Sink]:
        return [sink for sink in keepers if "tally_sinks_ledger_events{" in sink.get("/metrics")[1]]

    accounts.rig.wait_until(lambda: len(keeping()) == 1, keeping)
    (keeper,) = keeping()
    other = keepers[keeper]
    keeper.kill()
    shows(accounts, other, accepted=3, stored=3)


def test_rows_go_on_while_the_ledger_cannot_be_kept(accounts: Accounts) -> None:
    """Nobody answers where the ledger asks: only its age tells, and the sink neither stops nor is unhealthy."""
    accounts.accept(2)
    accounts.hand_on(1)
    sink = run(accounts, clickhouse_tcp_port=1)
    born = sink.metric("tally_sinks_ledger_timestamp_seconds")
    accounts.rig.wait_for_word(sink, "the ledger is not up to date")
    accounts.rig.wait_for_rows(1)
    assert sink.metric("tally_sinks_ledger_timestamp_seconds") == born > 1e9
    assert sink.get("/healthz")[0] == 200
    sink.terminate()
    assert sink.exit_code == 0


def test_a_sink_that_is_killed_keeps_the_same_ledger_after_it(accounts: Accounts) -> None:
    accounts.accept(6, repeats={4: 0})
    accounts.hand_on(6, left_out={4}, refused={1})
    sink = run(accounts)
    shows(accounts, sink, accepted=6, stored=4, duplicate=1, dead=1)
    sink.kill()
    assert sink.exit_code == -signal.SIGKILL
    sink.start()
    shows(accounts, sink, accepted=6, stored=4, duplicate=1, dead=1)


def test_nothing_settles_before_dead_letters_are_rows_and_what_was_settled_stays(accounts: Accounts) -> None:
    accounts.accept(2)
    accounts.hand_on(2, refused={1})
    accounts.rig.sink("enriched_events", sinks_ledger_interval_s=0).start()
    accounts.rig.wait_for_acknowledgement([2, 0])
    with accounts.sources() as (_, topics):
        waited: list[float] = []
        assert reaches(topics, waited.append)[0] == (0, 0, 2)
        assert len(waited) > 1
        accounts.rig.sink("dead_letters").start()
        assert reaches(topics, lambda _s: accounts.rig.wait_for_rows(1, "dead_letters"))[0].end == 2
        accounts.rig.wait_until(lambda: reaches(topics, waited.append)[0] == (0, 2, 2), lambda: waited)
