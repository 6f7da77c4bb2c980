"""Rows that the database refused, sent through again on real servers: once in the table, the ledger sound all along."""

import subprocess

import pytest

from docker.local import PROJECT_ROOT
from docker.local.services import python
from docker.local.tools import bare_environ
from schemas.settings import to_environ
from tests.sinks.accounts import Accounts
from tests.sinks.records import PROJECT, framed_all, session
from tests.sinks.rig import SinkRig

FORBID = "ALTER TABLE {db}.events ADD CONSTRAINT no_tests CHECK page_path NOT IN ('/p/2', '/p/4')"
ALLOW = "ALTER TABLE {db}.events DROP CONSTRAINT no_tests"
DEAD_LETTERS = "SELECT dead_letter_id, toUnixTimestamp64Milli(first_seen_at) FROM {db}.dead_letters FINAL ORDER BY 1"


@pytest.fixture
def accounts(rig: SinkRig) -> Accounts:
    rig.found_group()
    return Accounts(rig)


def command(rig: SinkRig, *arguments: str) -> tuple[int, str]:
    environ = bare_environ(PYTHONPATH=str(PROJECT_ROOT), PATH="") | to_environ(rig.settings)
    done = subprocess.run(
        [*python("sinks"), *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def refuse_two(accounts: Accounts) -> None:
    """Six events accepted, of which the table refuses two."""
    accounts.rig.query(FORBID)
    accounts.accept(6)
    accounts.hand_on(6)
    accounts.rig.sink("enriched_events", "dead_letters").start()
    found = accounts.settled()
    assert found.total.sound
    assert (found.total.stored, found.total.dead) == (4, 2)


def test_rows_that_are_allowed_by_now_go_in_once_however_often_they_are_sent(accounts: Accounts) -> None:
    refuse_two(accounts)
    accounts.rig.query(ALLOW)
    for options in ((), ("--replayed",), ("--replayed",)):
        code, said = command(accounts.rig, "replay", "--stage", "sinks", *options)
        assert code == 0, said
        assert "2 sent, 0 not" in said
    assert "no dead letters fit" in command(accounts.rig, "replay", "--stage", "sinks")[1]
    assert [offset for _, _, offset in accounts.rig.sources()] == list(range(6))
    found = accounts.ledger()
    assert found.total.sound
    assert found.projects[PROJECT] == {"accepted": 6, "stored": 6}


def test_a_row_sent_again_after_its_token_was_forgotten_stands_once(accounts: Accounts) -> None:
    refuse_two(accounts)
    accounts.rig.query(ALLOW)
    assert command(accounts.rig, "replay", "--stage", "sinks")[0] == 0
    accounts.rig.query("ALTER TABLE {db}.events MODIFY SETTING non_replicated_deduplication_window = 1")
    copy = "INSERT INTO {db}.events SELECT * FROM {db}.events WHERE source_offset = 0"
    accounts.rig.query(f"{copy} SETTINGS insert_deduplication_token = 'another'")
    accounts.rig.query("ALTER TABLE {db}.events DELETE WHERE source_offset = 0 SETTINGS mutations_sync = 2")
    assert "2 sent" in command(accounts.rig, "replay", "--stage", "sinks", "--replayed")[1]
    assert [offset for _, _, offset in accounts.rig.sources()] == [1, 2, 3, 4, 5]


def test_a_row_that_is_refused_again_stays_the_dead_letter_it_is(accounts: Accounts) -> None:
    refuse_two(accounts)
    before = accounts.rig.query(DEAD_LETTERS)
    code, said = command(accounts.rig, "replay", "--stage", "sinks")
    assert code == 1
    assert "0 sent, 2 not" in said
    assert said.count("is refused again") == 2
    assert accounts.rig.query(DEAD_LETTERS) == before
    assert len(accounts.rig.consume("dead_letters")) == 2
    found = accounts.ledger()
    assert found.total.sound
    assert (found.total.stored, found.total.dead) == (4, 2)


def test_of_several_one_may_go_in_and_the_other_be_refused_again(accounts: Accounts) -> None:
    refuse_two(accounts)
    accounts.rig.query(ALLOW)
    accounts.rig.query(FORBID.replace("'/p/2', ", ""))
    code, said = command(accounts.rig, "replay", "--stage", "sinks")
    assert code == 1
    assert "1 sent, 1 not" in said
    found = accounts.ledger()
    assert found.total.sound
    assert found.projects[PROJECT] == {"accepted": 6, "stored": 5, "dead": 1}


def test_an_upsert_that_was_refused_goes_in_too(accounts: Accounts) -> None:
    rig = accounts.rig
    rig.query("ALTER TABLE {db}.sessions ADD CONSTRAINT no_bye CHECK exit_page != '/bye'")
    rig.produce("sessions", framed_all("sessions", [session(1, 1)]), keys=[b"1"])
    rig.sink("sessions", "dead_letters").start()
    rig.wait_for_rows(1, "dead_letters")
    rig.query("ALTER TABLE {db}.sessions DROP CONSTRAINT no_bye")
    for _ in range(2):
        assert command(rig, "replay", "--stage", "sinks")[0] == 0
    assert rig.number("SELECT count() FROM {db}.sessions FINAL") == 1


def test_the_ledger_as_text_is_never_cut_by_a_pipe(accounts: Accounts) -> None:
    refuse_two(accounts)
    name = "a project whose name is longer than any terminal is wide " * 5 + "!"
    columns = "project_id, tenant_id, name, write_key, updated_at"
    accounts.rig.query(
        f"INSERT INTO {{db}}.projects ({columns}) VALUES ('{PROJECT}', '{PROJECT}', '{name}', 'k', now())"
    )
    code, said = command(accounts.rig, "ledger")
    assert code == 0, said
    (row,) = [line for line in said.splitlines() if name in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [name, "6", "4", "0", "2", "0"]
    assert "…" not in said


def test_trace_as_a_command_says_dead_by_the_sink(accounts: Accounts) -> None:
    refuse_two(accounts)
    columns = "project_id, tenant_id, name, write_key, updated_at"
    accounts.rig.query(f"INSERT INTO {{db}}.projects ({columns}) VALUES ('{PROJECT}', '{PROJECT}', 'p', 'k', now())")
    code, said = command(accounts.rig, "trace", "ajs-next-2")
    assert code == 0, said
    assert "dead letter" in said
    assert "row_refused in sinks" in said
    assert "in flight" not in said
