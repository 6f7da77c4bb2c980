"""The contract applied to the real servers."""

from typing import Any

from schemas.apply.findings import Verdict
from schemas.apply.tables import apply_tables, check_tables, clickhouse
from schemas.apply.topics import apply_topics, check_topics
from schemas.settings import Settings


def verdicts(findings: Any) -> set[Verdict]:
    return {finding.verdict for finding in findings}


def test_topics_are_created_once_and_a_changed_configuration_is_repaired(settings: Settings) -> None:
    assert verdicts(check_topics(settings)) == {Verdict.MISSING}
    assert verdicts(apply_topics(settings)) == {Verdict.CREATED}
    assert verdicts(apply_topics(settings)) == {Verdict.OK} == verdicts(check_topics(settings))


def test_another_number_of_partitions_is_reported_and_never_altered(settings: Settings) -> None:
    apply_topics(settings)
    other = settings.model_copy(update={"partitions": 3})
    for _ in range(2):
        assert Verdict.DIFFERS in verdicts(apply_topics(other))
    assert verdicts(check_topics(settings)) == {Verdict.OK}


def test_tables_are_created_once_and_what_lacks_is_added(settings: Settings) -> None:
    assert Verdict.MISSING in verdicts(check_tables(settings))
    assert verdicts(apply_tables(settings)) == {Verdict.CREATED}
    assert verdicts(apply_tables(settings)) == {Verdict.OK} == verdicts(check_tables(settings))
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE dead_letters DROP COLUMN source_key")
        client.execute("ALTER TABLE events DROP PROJECTION by_source")
        client.execute("ALTER TABLE events DROP INDEX session_id_bloom")
        client.execute("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 0")
    differing = {finding.subject for finding in check_tables(settings) if not finding.settled}
    assert differing == {"table dead_letters", "table events"}
    assert verdicts(apply_tables(settings)) == {Verdict.ALTERED, Verdict.OK}
    assert verdicts(check_tables(settings)) == {Verdict.OK}


def test_a_column_of_another_type_is_reported_and_never_converted(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE sessions MODIFY COLUMN exit_page Nullable(String)")
    for findings in (check_tables(settings), apply_tables(settings)):
        (finding,) = [finding for finding in findings if finding.subject == "table sessions"]
        assert finding.verdict is Verdict.DIFFERS
        assert "exit_page" in finding.detail
