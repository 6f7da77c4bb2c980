"""Numbered migrations: run once, in order, recorded; repeated whole after an interruption; never edited."""

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from schemas.apply.findings import ApplyError, Verdict
from schemas.apply.migrations import apply_migrations, check_migrations, plan_migrations, read_migrations
from schemas.apply.table_shape import exists
from schemas.apply.tables import apply_tables, check_tables, clickhouse, plan_tables, statement
from schemas.settings import Settings
from tests.waiting import wait_until

THREE = {
    "0001_add.sql": "-- why\nALTER TABLE things ADD COLUMN IF NOT EXISTS colour String;\n",
    "0002_widen.sql": (
        "ALTER TABLE things MODIFY COLUMN size UInt64;\n"
        "ALTER TABLE things MODIFY COLUMN colour LowCardinality(String);\n"
    ),
    "0003_drop.sql": "ALTER TABLE things DROP COLUMN IF EXISTS old;",
}
WANTED = [("id", "String"), ("size", "UInt64"), ("colour", "LowCardinality(String)")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in THREE.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def make_things(client: Client) -> None:
    client.execute("CREATE TABLE things (id String, size UInt16, old String) ENGINE = MergeTree ORDER BY id")
    client.execute("INSERT INTO things VALUES", [("a", 7, "x")])


def columns(client: Client) -> list[Any]:
    return list(
        client.execute("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'things'")
    )


class Killed(BaseException):
    """The process is gone."""


class Dying:
    """A client whose process is killed before its n-th statement, or right after it."""

    def __init__(self, client: Client, statements: int, *, after: bool) -> None:
        self._client = client
        self._left = statements
        self._after = after

    def execute(self, query: str, *parameters: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        answer = self._client.execute(query, *parameters)
        if self._left == 0:
            raise Killed
        return answer


def test_they_run_once_in_their_order_and_are_recorded(settings: Settings, folder: Path) -> None:
    migrations = read_migrations(folder)
    with clickhouse(settings) as client:
        make_things(client)
        assert check_migrations(client, migrations).verdict is Verdict.MISSING
        planned = plan_migrations(client, migrations)
        assert (planned.verdict, "DROP COLUMN IF EXISTS old" in planned.detail) == (Verdict.TO_ALTER, True)
        assert columns(client)[1] == ("size", "UInt16")  # a plan does nothing
        assert apply_migrations(client, migrations, fresh=False).verdict is Verdict.ALTERED
        assert columns(client) == WANTED
        assert client.execute("SELECT * FROM things") == [("a", 7, "")]
        client.execute("ALTER TABLE things ADD COLUMN old String")  # would go again, were 3 run again
        assert apply_migrations(client, migrations, fresh=False).verdict is Verdict.OK
        assert ("old", "String") in columns(client)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_statement_they_are_whole_after_the_next_run(
    settings: Settings, folder: Path, after: bool
) -> None:
    migrations = read_migrations(folder)
    kills = 0
    for statements in range(1, 100):
        with clickhouse(settings) as client:
            client.execute("DROP TABLE IF EXISTS things SYNC")
            client.execute("DROP TABLE IF EXISTS schema_migrations SYNC")
            make_things(client)
            try:
                apply_migrations(Dying(client, statements, after=after), migrations, fresh=False)
            except Killed:
                kills += 1
                apply_migrations(client, migrations, fresh=False)
            assert columns(client) == WANTED
            assert check_migrations(client, migrations).verdict is Verdict.OK
        if kills < statements:
            break
    assert kills > 8  # at each of the statements, and of those that record


def test_one_that_is_refused_is_named_not_recorded_and_repeated(settings: Settings, folder: Path) -> None:
    (folder / "0002_widen.sql").write_text("ALTER TABLE absent MODIFY COLUMN size UInt64;")
    with clickhouse(settings) as client:
        make_things(client)
        with pytest.raises(ApplyError, match=r"0002_widen is refused.*absent"):
            apply_migrations(client, read_migrations(folder), fresh=False)
        assert check_migrations(client, read_migrations(folder)).detail == "not applied: 0002_widen, 0003_drop"
        client.execute("CREATE TABLE absent (id String, size UInt16) ENGINE = MergeTree ORDER BY id")
        assert apply_migrations(client, read_migrations(folder), fresh=False).detail == "applied 0002_widen, 0003_drop"


def test_one_that_was_edited_afterwards_is_reported_and_a_newer_release_s_is_a_note(
    settings: Settings, folder: Path
) -> None:
    with clickhouse(settings) as client:
        make_things(client)
        apply_migrations(client, read_migrations(folder), fresh=False)
        older = read_migrations(folder)[:2]
        assert apply_migrations(client, older, fresh=False).verdict is Verdict.NOTE
        (folder / "0003_drop.sql").write_text("ALTER TABLE things DROP COLUMN IF EXISTS id;")
        finding = apply_migrations(client, read_migrations(folder), fresh=False)
        assert (finding.verdict, "0003_drop" in finding.detail) == (Verdict.DIFFERS, True)
        assert columns(client) == WANTED


@pytest.mark.parametrize("name", ["0005_gap.sql", "0001_twice.sql", "4_short.sql", "0004_No.sql", "notes.txt"])
def test_a_file_that_has_no_place_in_the_order_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match=r"migration"):
        read_migrations(folder)


def test_tables_of_an_earlier_release_become_those_of_the_ddl(settings: Settings) -> None:
    """Ours: what the migrations make of old tables is what new tables are."""
    apply_tables(settings)
    with clickhouse(settings) as client:
        new = codecs(client)
        client.execute("DROP TABLE events SYNC")
        client.execute("DROP TABLE schema_migrations SYNC")
        client.execute(earlier_events())
        client.execute(
            "INSERT INTO events (event_id, message_id, timestamp, user_id) "
            "SELECT generateUUIDv4(), generateUUIDv4(), now64(3), toString(number) FROM numbers(100000)"
        )
        assert codecs(client) != new
    assert {finding.subject for finding in check_tables(settings) if not finding.settled} == {
        "migrations",
        "table events",
    }
    assert Verdict.TO_ALTER in {finding.verdict for finding in plan_tables(settings)}
    assert Verdict.ALTERED in {finding.verdict for finding in apply_tables(settings)}
    with clickhouse(settings) as client:
        assert codecs(client) == new
        wait_until(lambda: not client.execute(UNDER_WAY), lambda: client.execute(UNDER_WAY))
        assert client.execute(EARLIER_PROJECTIONS) == []
        ((indexed, projected),) = client.execute(
            "SELECT min(secondary_indices_compressed_bytes > 0), min(has(projections, 'by_event_name')) "
            "FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events'"
        )
    assert (indexed, projected) == (1, 1)
    assert all(finding.verdict is Verdict.OK for finding in check_tables(settings))


OLD_CONVERSATIONS = """
CREATE TABLE conversations (
    conversation_id UUID, tenant_id String, whatsapp_phone_id String, user_id Nullable(String),
    current_state LowCardinality(String), started_at DateTime64(3), first_response_at Nullable(DateTime64(3)),
    resolved_at Nullable(DateTime64(3)), message_count UInt16, bot_message_count UInt16, agent_message_count UInt16,
    linked_session_id Nullable(String), handshake_token Nullable(String), version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (tenant_id, conversation_id)
"""


def test_conversations_of_before_they_were_widened_keep_their_rows_wherever_it_is_interrupted(
    settings: Settings,
) -> None:
    widen = [one for one in read_migrations() if one.name == "0002_widen_conversations"]
    apply_tables(settings)
    kills = 0
    for statements in range(1, 100):
        with clickhouse(settings) as client:
            for table in ("conversations", "conversations_widened", "schema_migrations"):
                client.execute(f"DROP TABLE IF EXISTS {table} SYNC")
            client.execute(OLD_CONVERSATIONS)
            client.execute(
                "INSERT INTO conversations (conversation_id, tenant_id, message_count, version) VALUES",
                [(uuid.uuid4(), "t", 65535, 7)],
            )
            try:
                apply_migrations(Dying(client, statements, after=True), widen, fresh=False)
            except Killed:
                kills += 1
                if exists(client, "conversations"):
                    apply_migrations(client, widen, fresh=False)
                else:  # between its end and the other's new name
                    apply_tables(settings)
            rows = client.execute("SELECT tenant_id, message_count, version, is_deleted FROM conversations FINAL")
            assert rows == [("t", 65535, 7, 0)]
        if kills < statements:
            break
    apply_tables(settings)
    assert all(finding.verdict is Verdict.OK for finding in check_tables(settings))
    assert kills > 7


ADDED = {
    "column region": "ADD COLUMN region String",
    "index by_user": "ADD INDEX by_user user_id TYPE bloom_filter",
    "projection by_state": "ADD PROJECTION by_state (SELECT count() GROUP BY current_state)",
    "TTL": "MODIFY TTL toDateTime(started_at) + INTERVAL 1 YEAR",
    "a constraint": "ADD CONSTRAINT named CHECK tenant_id != ''",
    "settings of the table": "MODIFY SETTING merge_with_ttl_timeout = 60",
}


def test_what_was_added_to_conversations_is_named_and_stays_and_no_row_is_touched(settings: Settings) -> None:
    widen = [one for one in read_migrations() if one.name == "0002_widen_conversations"]
    with clickhouse(settings) as client:
        for what, added in ADDED.items():
            client.execute("DROP TABLE IF EXISTS conversations SYNC")
            client.execute(OLD_CONVERSATIONS)
            more = " MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'"
            if what.startswith("projection"):
                client.execute(f"ALTER TABLE conversations{more}")
            client.execute(f"ALTER TABLE conversations {added}")
            client.execute("INSERT INTO conversations (tenant_id, started_at, version) SELECT 't', now64(3), 7")
            made = client.execute("SHOW CREATE TABLE conversations")
            planned = plan_migrations(client, widen)
            assert (planned.verdict, what in planned.detail) == (Verdict.DIFFERS, True)
            with pytest.raises(ApplyError, match=f"would drop what was added to it: .*{what}.*add them again"):
                apply_migrations(client, widen, fresh=False)
            assert client.execute("SHOW CREATE TABLE conversations") == made
            assert client.execute("SELECT tenant_id FROM conversations") == [("t",)]


def test_a_check_is_no_part_of_a_migration_s_digest(folder: Path) -> None:
    before = read_migrations(folder)[0]
    (folder / "0001_add.sql").write_text("--? SELECT 'x';\n" + THREE["0001_add.sql"])
    after = read_migrations(folder)[0]
    assert (after.digest, after.checks) == (before.digest, ("SELECT 'x'",))


def test_a_table_of_conversations_with_an_engine_of_its_own_is_left_and_named(settings: Settings) -> None:
    widen = [one for one in read_migrations() if one.name == "0002_widen_conversations"]
    with clickhouse(settings) as client:
        client.execute("CREATE TABLE conversations (conversation_id UUID) ENGINE = MergeTree ORDER BY conversation_id")
        with pytest.raises(ApplyError, match="has an engine of its own"):
            apply_migrations(client, widen, fresh=False)


def test_a_conversation_that_has_been_silent_is_resolved_when_it_is_asked_for(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        for number, (state, ago_s, deleted) in enumerate(
            [("queued", 100, 0), ("queued", 10, 0), ("resolved", 100, 0), ("agent_active", 100, 1)]
        ):
            client.execute(
                "INSERT INTO conversations (conversation_id, tenant_id, current_state, resolved_at, resolved_reason, "
                "last_activity_at, inactivity_seconds, version, is_deleted) SELECT generateUUIDv4(), "
                "concat('t', toString(%(number)s)), %(state)s, if(%(state)s = 'resolved', now64(3), NULL), "
                "if(%(state)s = 'resolved', 'ended', ''), now64(3) - %(ago)s, 60, 1, %(deleted)s",
                {"number": number, "state": state, "ago": ago_s, "deleted": deleted},
            )
        asked = (
            "SELECT tenant_id, current_state, resolved_reason, "
            "if(resolved_at = last_activity_at + toIntervalSecond(60), 'then', if(isNull(resolved_at), 'open', 'now')) "
            "FROM conversations_current ORDER BY tenant_id"
        )
        assert client.execute(asked) == [
            ("t0", "resolved", "inactivity", "then"),
            ("t1", "queued", "", "open"),
            ("t2", "resolved", "ended", "now"),
        ]


def test_what_dead_letters_lack_is_added_to_those_that_are_there(settings: Settings) -> None:
    apply_tables(settings)
    added = ("lineage", "raw_offset", "raw_generation")
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE dead_letters DROP PROJECTION by_source")
        for column in reversed(added):
            client.execute(f"ALTER TABLE dead_letters DROP COLUMN {column}")
        client.execute("ALTER TABLE dead_letters RESET SETTING deduplicate_merge_projection_mode")
        client.execute(
            "INSERT INTO dead_letters (dead_letter_id, stage, source_offset, first_seen_at) "
            "VALUES (generateUUIDv4(), 'streams', 77, now64(3))"
        )
    assert Verdict.ALTERED in {finding.verdict for finding in apply_tables(settings)}
    assert all(finding.verdict is Verdict.OK for finding in check_tables(settings))
    with clickhouse(settings) as client:
        assert client.execute(f"SELECT {', '.join(added)} FROM dead_letters") == [([], 77, 0)]


UNDER_WAY = (
    "SELECT command, latest_fail_reason FROM system.mutations "
    "WHERE database = currentDatabase() AND table = 'events' AND NOT is_done"
)
EARLIER_PROJECTIONS = (
    "SELECT name FROM system.projections WHERE database = currentDatabase() AND table = 'events' "
    "AND name IN ('by_user', 'by_session', 'by_message')"
)


def earlier_events() -> str:
    """The table of the first release: no codec but LZ4 where a migration sets one, positions in projections."""
    text = re.sub(r"    INDEX .*\n", "", re.sub(r"CODEC\((ZSTD\(1\)|NONE)\)", "", statement("events")))
    positions = (
        "PROJECTION by_user (SELECT _part_offset ORDER BY user_id, timestamp), "
        "PROJECTION by_session (SELECT _part_offset ORDER BY session_id), "
        "PROJECTION by_message (SELECT _part_offset ORDER BY message_id), PROJECTION by_event_name"
    )
    text = text.replace("PROJECTION by_event_name", positions).replace(" WITH SETTINGS (index_granularity = 4096)", "")
    return re.sub(r"    (auto_statistics_types|min_parts_to_merge_at_once) = .*\n", "", text)


def codecs(client: Client) -> list[Any]:
    return list(
        client.execute(
            "SELECT name, compression_codec FROM system.columns WHERE database = currentDatabase() AND table = 'events'"
        )
    )
