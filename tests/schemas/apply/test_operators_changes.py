"""`apply` on topics and tables that an operator changed: what was made larger or added stays, and is told."""

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from schemas.apply.findings import Finding, Verdict
from schemas.apply.profile import NEEDED
from schemas.apply.tables import apply_tables, check_tables, clickhouse, drop_old_scratch, plan_tables
from schemas.apply.topics import apply_topics, check_topics, compare_config, plan_topics
from schemas.settings import Settings
from tests.waiting import wait_until

DAY_MS = 86_400_000


class Topics:
    """The topics as an operator sees them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})

    def set(self, topic: str, **config: str) -> None:
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._settings.topic(topic), incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(10)

    def get(self, topic: str, name: str) -> str:
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._settings.topic(topic))
        return str(self._admin.describe_configs([resource])[resource].result(10)[name].value)

    def grow(self, topic: str, partitions: int) -> None:
        name = self._settings.topic(topic)
        self._admin.create_partitions([NewPartitions(name, partitions)])[name].result(10)
        # The answer comes before whoever asks for the topic is told of them.
        wait_until(lambda: self._partitions(name) == partitions, lambda: self._partitions(name))

    def _partitions(self, name: str) -> int:
        return len(self._admin.list_topics(name, timeout=10).topics[name].partitions)


@pytest.fixture
def operators(settings: Settings) -> Topics:
    apply_topics(settings)
    return Topics(settings)


def of(findings: list[Finding], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject.endswith(subject)]
    return found


def test_a_longer_retention_is_never_lowered_and_a_shorter_one_is_raised(settings: Settings, operators: Topics) -> None:
    operators.set("raw_events", retention_ms=str(90 * DAY_MS))
    operators.set("enriched_events", retention_ms="-1")
    operators.set("dead_letters", retention_ms=str(DAY_MS))
    planned = plan_topics(settings)
    assert of(planned, "dead_letters").verdict is Verdict.TO_ALTER
    assert operators.get("dead_letters", "retention.ms") == str(DAY_MS)  # a plan does nothing
    findings = apply_topics(settings)
    assert (operators.get("raw_events", "retention.ms"), operators.get("enriched_events", "retention.ms")) == (
        str(90 * DAY_MS),
        "-1",
    )
    assert of(findings, "raw_events").verdict is of(findings, "enriched_events").verdict is Verdict.NOTE
    assert str(90 * DAY_MS) in of(findings, "raw_events").detail
    assert of(findings, "dead_letters").verdict is Verdict.ALTERED
    assert operators.get("dead_letters", "retention.ms") == str(30 * DAY_MS)
    assert all(finding.settled for finding in check_topics(settings))


def test_retention_is_a_setting_that_lengthens(settings: Settings, operators: Topics) -> None:
    longer = settings.model_copy(update={"topic_events_days": 21})
    assert of(apply_topics(longer), "raw_events").verdict is Verdict.ALTERED
    assert operators.get("raw_events", "retention.ms") == str(21 * DAY_MS)
    assert of(apply_topics(settings), "raw_events").verdict is Verdict.NOTE  # and does not shorten
    assert operators.get("raw_events", "retention.ms") == str(21 * DAY_MS)


def test_a_cleanup_that_deletes_what_must_stay_is_repaired_and_nothing_else_is_set(
    settings: Settings, operators: Topics
) -> None:
    operators.set("projects", cleanup_policy="compact,delete", retention_ms=str(DAY_MS))
    operators.set("sessions", cleanup_policy="compact", max_message_bytes=str(8 * 2**20))
    findings = apply_topics(settings)
    assert (operators.get("projects", "cleanup.policy"), operators.get("projects", "retention.ms")) == ("compact", "-1")
    assert of(findings, "sessions").verdict is Verdict.NOTE
    assert (operators.get("sessions", "cleanup.policy"), operators.get("sessions", "max.message.bytes")) == (
        "compact",
        str(8 * 2**20),
    )


def test_more_partitions_are_a_note_and_fewer_than_raw_events_are_not(settings: Settings, operators: Topics) -> None:
    operators.grow("sessions", 5)
    operators.grow("dead_letters", 6)
    findings = apply_topics(settings)
    assert of(findings, "sessions").verdict is of(findings, "dead_letters").verdict is Verdict.NOTE
    assert all(finding.settled for finding in findings)
    operators.grow("raw_events", 3)
    findings = apply_topics(settings)
    assert of(findings, "raw_events").verdict is Verdict.NOTE
    assert "TALLY_PARTITIONS=3" in of(findings, "raw_events").detail
    assert of(findings, "enriched_events").verdict is Verdict.DIFFERS  # streams would have nowhere to write to
    operators.grow("enriched_events", 3)
    assert all(finding.settled for finding in apply_topics(settings))


def test_too_few_partitions_stay_reported_while_the_configuration_is_repaired(
    settings: Settings, operators: Topics
) -> None:
    operators.set("raw_events", retention_ms=str(DAY_MS))
    more = settings.model_copy(update={"partitions": 4})
    assert of(apply_topics(more), "raw_events").verdict is Verdict.DIFFERS
    assert operators.get("raw_events", "retention.ms") == str(7 * DAY_MS)


@pytest.mark.parametrize(
    ("name", "actual", "wanted", "kept"),
    [
        ("retention.ms", "-1", "1000", True),
        ("retention.ms", "1000", "-1", False),
        ("retention.ms", "2000", "1000", True),
        ("retention.ms", "500", "1000", False),
        ("cleanup.policy", "compact", "compact,delete", True),
        ("cleanup.policy", "compact", "delete", False),
        ("cleanup.policy", "delete,compact", "compact", False),
        ("cleanup.policy", "delete", "compact,delete", False),
        ("max.message.bytes", "5000000", "2097152", True),
        ("min.compaction.lag.ms", "0", "3600000", False),
    ],
)
def test_which_values_of_an_operator_promise_all_that_the_contract_s_do(
    name: str, actual: str, wanted: str, kept: bool
) -> None:
    repairs, notes = compare_config({name: wanted}, {name: actual})
    assert (not repairs, bool(notes)) == (kept, kept)


def test_columns_views_and_a_longer_life_of_rows_are_left_alone(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE events ADD COLUMN plan String MATERIALIZED JSONExtractString(properties, 'plan')")
        client.execute("ALTER TABLE sessions ADD COLUMN region String")
        client.execute("ALTER TABLE events MODIFY TTL toDateTime(timestamp) + INTERVAL 5 YEAR")
        client.execute("ALTER TABLE sessions REMOVE TTL")
        client.execute("ALTER TABLE dead_letters MODIFY TTL toDateTime(first_seen_at) + INTERVAL 1 WEEK")
        client.execute(
            "CREATE MATERIALIZED VIEW by_day ENGINE = SummingMergeTree ORDER BY day AS "
            "SELECT toDate(timestamp) AS day, count() AS events FROM events GROUP BY day"
        )
    plan = plan_tables(settings)
    assert of(plan, "table dead_letters").verdict is Verdict.TO_ALTER
    assert "MODIFY TTL" in of(plan, "table dead_letters").detail
    findings = apply_tables(settings)
    assert all(finding.settled for finding in findings)
    assert of(findings, "table events").verdict is of(findings, "table sessions").verdict is Verdict.NOTE
    assert "plan" in of(findings, "table events").detail
    assert "region" in of(findings, "table sessions").detail
    with clickhouse(settings) as client:
        engines = dict(client.execute("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"))
    assert "toIntervalYear(5)" in engines["events"]
    assert " TTL " not in engines["sessions"]
    assert "toIntervalYear(2)" in engines["dead_letters"]
    assert "by_day" in engines
    assert all(finding.settled for finding in check_tables(settings))


@pytest.mark.parametrize(("found", "left"), [(10_000, 100_000), (0, 100_000), (1_000_000, 1_000_000)])
def test_a_deduplication_window_is_raised_and_never_lowered(settings: Settings, found: int, left: int) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute(f"ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = {found}")
        apply_tables(settings)
        ((engine,),) = client.execute(
            "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
        )
    assert f"non_replicated_deduplication_window = {left}," in engine
    assert all(finding.settled for finding in check_tables(settings))


def test_how_long_rows_live_is_a_setting_that_lengthens(settings: Settings) -> None:
    half = settings.model_copy(update={"table_events_days": 180, "table_dead_letters_days": 30})
    apply_tables(half)
    assert all(finding.verdict is Verdict.OK for finding in check_tables(half))
    longer = settings.model_copy(update={"table_events_days": 400, "table_dead_letters_days": 30})
    findings = apply_tables(longer)
    assert of(findings, "table events").verdict is of(findings, "table sessions").verdict is Verdict.ALTERED
    assert of(apply_tables(half), "table events").verdict is Verdict.NOTE
    with clickhouse(settings) as client:
        ((engine,),) = client.execute(
            "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
        )
    assert "toIntervalDay(400)" in engine


def test_a_plan_of_nothing_there_names_everything_and_makes_nothing(settings: Settings) -> None:
    absent = settings.model_copy(update={"clickhouse_database": f"{settings.clickhouse_database}_absent"})
    for planned in (plan_tables(absent), plan_tables(settings), plan_topics(settings)):
        assert {finding.verdict for finding in planned} == {Verdict.TO_CREATE}
    assert check_tables(absent)[0].verdict is Verdict.MISSING
    assert {finding.verdict for finding in check_topics(settings)} == {Verdict.MISSING}
    with clickhouse(settings) as client:
        assert client.execute("SELECT count() FROM system.tables WHERE database = currentDatabase()") == [(0,)]


def test_what_a_killed_check_left_behind_goes_and_what_is_in_use_stays(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute("CREATE TABLE _contract_events_0123456789ab (id String) ENGINE = MergeTree ORDER BY id")
        apply_tables(settings)
        # Of this minute: another check may be at it.
        assert client.execute("EXISTS TABLE _contract_events_0123456789ab") == [(1,)]
        drop_old_scratch(client, older_than_s=-1)
        tables = {name for (name,) in client.execute("SHOW TABLES")}
    assert (tables & {"events", "_contract_events_0123456789ab"}) == {"events"}


def test_a_user_who_asks_without_the_shipped_profile_is_a_note(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_tables(settings)
    assert all(finding.verdict is Verdict.OK for finding in check_tables(settings))
    monkeypatch.setitem(NEEDED, "use_skip_indexes_on_data_read", "1")
    for findings in (check_tables(settings), plan_tables(settings), apply_tables(settings)):
        note = of(findings, "setting use_skip_indexes_on_data_read")
        assert (note.verdict, "users.d/tally.xml" in note.detail) == (Verdict.NOTE, True)
