"""A materialized view that fails: the rows stand once, are no dead letters, and the view gets them when mended."""

import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sinks.batching import watermark
from sinks.batching.batch import Batch, Rows
from sinks.clickhouse.views import standing
from sinks.errors import ViewFailedError
from sinks.failpoints import VARIABLE
from sinks.routes import ROUTES
from sinks.write.writer import JUST_NOW
from tests.sinks.records import NOT_A_UUID, codec, framed, framed_all, session
from tests.sinks.rig import SinkRig
from tests.sinks.sender import Sender
from tests.sinks.views import BrokenView

ROWS = 300


def number(offset: int) -> str:
    return "oops" if offset % 7 == 3 else str(offset)


def rows(count: int = ROWS, **fields: Any) -> Rows:
    values = [framed(offset, **{"page_title": number(offset)} | fields) for offset in range(count)]
    sources = np.array([watermark.pack(1, offset) for offset in range(count)], np.int64)
    timestamps = np.full(count, int(time.time() * 1000), np.int64)
    return Rows(codec("enriched_events").schema_id, list(range(count)), values, [None] * count, sources, timestamps)


def batch(given: Rows, doubtful: bool = False, repeatable: bool = True, topic: str = "enriched_events") -> Batch:
    last = int(given.sources[-1]) if len(given.sources) else -1
    return Batch(topic, 0, 0, len(given), -1, last, given, (), 0, 0, 1, 0.0, doubtful, repeatable)


Seen = Callable[[], tuple[int, int]]


@pytest.fixture
def seen(rig: SinkRig) -> Seen:
    """Rows of events, and how many of them are distinct."""

    def count() -> tuple[int, int]:
        total, distinct = rig.query("SELECT count(), uniqExact(source_offset) FROM {db}.events").split()
        return int(total), int(distinct)

    return count


def test_rows_that_a_view_refuses_stand_once_and_are_no_dead_letters(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    receipt = sender.send(batch(rows()))
    assert seen() == (ROWS, ROWS)
    assert (receipt.stored, list(receipt.dead), sender.dead_letters.published) == (ROWS, [], [])
    assert sender.report.failing == [view.qualified]
    assert sender.report.up == [True]
    assert sender.report.lacking == ROWS


def test_a_mended_view_gets_what_it_lacks_and_nothing_twice(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    sender.send(batch(rows()))
    sender.heal()
    assert view.rows == 0
    view.mend()
    for _ in range(3):
        sender.heal()
    assert view.rows == ROWS
    assert seen() == (ROWS, ROWS)
    assert (sender.report.lacking, sender.report.given_up) == (0, 0)


def test_rows_wait_for_a_view_that_is_not_there_between_drop_and_create(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    sender.send(batch(rows()))
    view.drop()
    sender.heal()
    assert sender.report.lacking == ROWS
    view.create()
    for _ in range(2):
        sender.heal()
    assert view.rows == ROWS
    assert seen() == (ROWS, ROWS)
    assert (sender.report.lacking, sender.report.given_up) == (0, 0)


def test_a_view_that_was_renamed_is_not_doubled(rig: SinkRig, seen: Seen) -> None:
    view, other, sender = BrokenView(rig), BrokenView(rig, name="other"), Sender(rig)
    other.mend()
    sender.send(batch(rows()))
    view.mend()
    sender.writer.insert(rows(), batch(rows()).token)  # whichever of them the server had filled
    assert (view.rows, other.rows) == (ROWS, ROWS)
    rig.query("RENAME TABLE {db}.other TO {db}.another")
    sender.heal()
    assert (view.rows, other.rows, sender.report.given_up) == (ROWS, ROWS, ROWS)
    assert seen() == (ROWS, ROWS)


def filled_and_lacking(rig: SinkRig) -> tuple[BrokenView, BrokenView, Sender]:
    """A view that fails, and another that has taken the rows: of an INSERT of which the first was told to fail."""
    other, sender = BrokenView(rig, name="other"), Sender(rig)
    other.mend()
    sender.writer.insert(rows(), batch(rows()).token)  # the server runs views side by side, and ends all when one fails
    assert other.rows == ROWS
    view = BrokenView(rig)
    with pytest.raises(ViewFailedError):
        sender.writer.insert(rows(), batch(rows()).token)
    sender.healing.failed(0, rows(), batch(rows()).token, view.qualified, "fails")
    assert (view.rows, other.rows) == (0, ROWS)
    return view, other, sender


def test_a_healthy_view_that_is_made_anew_under_its_name_takes_nothing_twice(rig: SinkRig, seen: Seen) -> None:
    """The server knows a view by its name: what the former one has taken, the new one does not take again."""
    view, other, sender = filled_and_lacking(rig)
    other.mend()
    view.mend()
    sender.heal()
    assert (view.rows, other.rows) == (ROWS, ROWS)
    assert (sender.report.lacking, sender.report.given_up) == (0, 0)
    sender.writer.insert(rows(), batch(rows()).token)
    assert (view.rows, other.rows, seen()) == (ROWS, ROWS, (ROWS, ROWS))


def test_a_healthy_view_that_is_altered_in_place_is_not_doubled(rig: SinkRig, seen: Seen) -> None:
    view, other, sender = filled_and_lacking(rig)
    other.alter()
    view.mend()
    sender.heal()
    assert (other.rows, seen()) == (ROWS, (ROWS, ROWS))
    assert (view.rows, sender.report.lacking, sender.report.given_up) == (0, 0, ROWS)
    sender.writer.insert(rows(), batch(rows()).token)
    assert other.rows == 2 * ROWS  # what sending them again would have done


def test_a_view_that_failed_and_is_altered_in_place_gets_its_rows_once(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    sender.send(batch(rows()))
    view.alter()
    for _ in range(3):
        sender.heal()
    assert (view.rows, seen()) == (ROWS, (ROWS, ROWS))
    assert (sender.report.lacking, sender.report.given_up) == (0, 0)


def test_a_view_made_anew_between_two_looks_is_another(rig: SinkRig) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    before = sender.writer.standing(0, rows()).views
    assert sender.writer.standing(0, rows()).views == before
    view.mend()
    assert sender.writer.standing(0, rows()).views != before
    assert before.keys() == {view.qualified}


def test_a_view_whose_target_has_no_window_is_not_doubled(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig, window=False), Sender(rig)
    whole = BrokenView(rig, window=False, name="whole")
    whole.mend()
    sender.send(batch(rows()))
    view.mend()
    sender.heal()
    assert view.rows == 0
    assert whole.rows in (0, ROWS)  # the server runs views side by side, and ends all when one fails
    assert seen() == (ROWS, ROWS)
    assert sender.report.given_up == ROWS


def test_a_view_without_a_window_behind_another_view_is_seen(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    rig.query("CREATE MATERIALIZED VIEW {db}.behind ENGINE = MergeTree ORDER BY n AS SELECT n FROM {db}.numbers_target")
    sender.send(batch(rows()))
    assert sender.report.given_up == ROWS
    assert seen() == (ROWS, ROWS)
    assert view.rows == 0


def test_the_statement_in_the_log_fills_a_view_that_is_not_healed(rig: SinkRig) -> None:
    view, sender = BrokenView(rig, window=False), Sender(rig)
    sender.send(batch(rows()))
    view.mend()
    (cure,) = sender.writer.standing(0, rows().part(0, 100)).statements
    rig.query(cure)
    assert view.rows == 100


def test_rows_found_after_a_crash_are_sent_again_for_the_views(rig: SinkRig, seen: Seen) -> None:
    view = BrokenView(rig)
    Sender(rig).send(batch(rows()))  # its owner dies after the INSERT that the view failed in
    heir = Sender(rig)
    receipt = heir.send(batch(rows(), doubtful=True))
    assert receipt.found
    assert (view.rows, heir.report.lacking) == (0, ROWS)
    view.mend()
    heir.heal()
    assert view.rows == ROWS
    assert seen() == (ROWS, ROWS)


def test_rows_found_after_a_crash_are_not_sent_to_a_view_that_is_younger(rig: SinkRig, seen: Seen) -> None:
    """It may have been filled from the table when it was made."""
    came = rows()
    came.timestamps[:] -= 10_000
    Sender(rig).send(batch(came))
    view = BrokenView(rig)
    view.mend()
    rig.query("INSERT INTO {db}.numbers_target SELECT toUInt32OrZero(page_title) FROM {db}.events")
    heir = Sender(rig)
    assert heir.send(batch(came, doubtful=True)).found
    assert (view.rows, seen()) == (ROWS, (ROWS, ROWS))
    assert (heir.report.lacking, heir.report.given_up) == (0, ROWS)


def test_rows_that_stand_under_other_tokens_are_not_sent_again(rig: SinkRig, seen: Seen) -> None:
    view = BrokenView(rig)
    view.mend()
    Sender(rig).send(batch(rows()))
    heir = Sender(rig)  # after a reset of the offsets batches are cut anew
    heir.send(Batch("enriched_events", 0, 0, 900, -1, -1, rows(), (), 0, 0, 1, 0.0, True, False))
    assert (view.rows, seen()) == (ROWS, (ROWS, ROWS))


def test_rows_whose_token_may_be_forgotten_are_not_sent_again(rig: SinkRig, seen: Seen) -> None:
    view = BrokenView(rig)
    rig.query("ALTER TABLE {db}.events MODIFY SETTING non_replicated_deduplication_window = 4")
    sender = Sender(rig)
    sender.send(batch(rows()))
    view.mend()
    for other in range(6):
        rig.query(f"INSERT INTO {{db}}.events (source_partition, source_offset, timestamp) VALUES (9, {other}, now())")
    sender.heal()
    heir = Sender(rig)
    heir.send(batch(rows(), doubtful=True))
    assert view.rows == 6
    assert seen()[0] == ROWS + 6
    assert (sender.report.given_up, heir.report.given_up) == (ROWS, ROWS)


def test_a_view_without_its_target_stops_nobody(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    view.drop_target()
    receipt = sender.send(batch(rows()))
    assert (receipt.stored, receipt.tries) == (ROWS, 1)
    assert seen() == (ROWS, ROWS)
    assert len(sender.report.failing) == 1
    sender.heal()
    assert (sender.report.lacking, sender.report.given_up) == (ROWS, 0)
    view.create_target()
    view.mend()
    for _ in range(2):
        sender.heal()
    assert (sender.report.lacking, sender.report.given_up, view.rows) == (0, 0, ROWS)
    assert seen() == (ROWS, ROWS)


def test_a_target_that_was_made_anew_is_left_to_whoever_made_it(
    rig: SinkRig, seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    sender.send(batch(rows()))
    view.drop()
    view.drop_target()
    sender.heal()
    assert (sender.report.lacking, sender.report.given_up) == (ROWS, 0)
    view.create_target()
    rig.query("INSERT INTO {db}.numbers_target SELECT toUInt32OrZero(page_title) FROM {db}.events")
    view.create()
    sender.heal()
    assert (sender.report.lacking, sender.report.given_up) == (0, ROWS)
    assert (view.rows, seen()) == (ROWS, (ROWS, ROWS))
    assert "numbers_target was made anew" in capsys.readouterr().out


def test_of_a_table_that_may_not_be_looked_at_nothing_is_known(rig: SinkRig) -> None:
    found = standing(Sender(rig).connection, "hidden", 0, rows(), JUST_NOW)
    assert (found.views, found.obstacle) == ({}, None)
    assert found.unseen == [f"{rig.settings.clickhouse_database}.hidden"]


def test_rows_wait_while_their_table_is_not_there_for_a_moment(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    sender.send(batch(rows()))
    rig.query("DETACH TABLE {db}.events SYNC")
    sender.heal()
    assert (sender.report.lacking, sender.report.given_up) == (ROWS, 0)
    rig.query("ATTACH TABLE {db}.events")
    view.mend()
    sender.heal()
    assert (view.rows, seen()) == (ROWS, (ROWS, ROWS))
    assert (sender.report.lacking, sender.report.given_up) == (0, 0)


def test_a_bad_row_beside_a_failing_view_is_the_only_dead_letter(rig: SinkRig, seen: Seen) -> None:
    view, sender = BrokenView(rig), Sender(rig)
    given = rows()
    given.values[50] = framed(50, **NOT_A_UUID)  # type: ignore[index]
    receipt = sender.send(batch(given))
    assert [bad.offset for bad in receipt.dead] == [50]
    assert seen() == (ROWS - 1, ROWS - 1)
    view.mend()
    sender.heal()
    assert view.rows == ROWS - 1
    heir = Sender(rig)
    heir.send(batch(given, doubtful=True))
    assert (seen(), view.rows) == ((ROWS - 1, ROWS - 1), ROWS - 1)


@pytest.mark.parametrize("target_is_there", [True, False])
def test_an_upsert_that_a_view_refuses_stands_and_is_no_dead_letter(rig: SinkRig, target_is_there: bool) -> None:
    """It is sent twice, then past the views: without a target the first INSERT has written nothing, with one it has.

    So the table may hold two versions of each row until it merges them, and FINAL tells how many rows there are.
    """
    rig.query("SYSTEM STOP MERGES {db}.sessions")
    rig.query("CREATE TABLE {db}.target (n UInt32) ENGINE = MergeTree ORDER BY n")
    rig.query("CREATE MATERIALIZED VIEW {db}.v TO {db}.target AS SELECT toUInt32(entry_page) AS n FROM {db}.sessions")
    if not target_is_there:
        rig.query("DROP TABLE {db}.target SYNC")
    sender = Sender(rig, ROUTES["sessions"])
    values = framed_all("sessions", [session(n, 5) for n in range(50)])
    given = Rows(codec("sessions").schema_id, list(range(50)), values, [b"%d" % n for n in range(50)])
    receipt = sender.send(batch(given, topic="sessions"))
    assert (receipt.stored, list(receipt.dead), receipt.tries) == (50, [], 1)
    assert sender.dead_letters.published == []
    assert rig.number("SELECT count() FROM {db}.sessions FINAL") == 50
    assert rig.rows("sessions") == (100 if target_is_there else 50)
    assert len(sender.report.failing) == 1


@pytest.mark.parametrize("failpoint", ["after_insert:drop:2", "after_insert:kill:2", "during_insert:kill:2"])
def test_a_failing_view_a_kill_and_a_lost_answer_leave_each_row_once_and_the_view_whole(
    rig: SinkRig, seen: Seen, failpoint: str
) -> None:
    rig.found_group()
    view = BrokenView(rig)
    rig.produce("enriched_events", [framed(offset, page_title=number(offset)) for offset in range(ROWS)])
    sink = rig.sink(sinks_flush_rows_max=100, sinks_flush_age_ms_max=5_000)  # batches of 100, however slowly they come
    sink.extra_environ |= {VARIABLE: failpoint}
    sink.launch()
    if "kill" in failpoint:
        assert sink.wait_ended() == -signal.SIGKILL
        del sink.extra_environ[VARIABLE]
        sink.start()
    rig.wait_for_acknowledgement([ROWS, 0])
    assert seen() == (ROWS, ROWS)
    assert rig.consume("dead_letters") == []
    view.mend()
    # The first batch's failure the killed process alone knew of: it left the statement that fills the view with it.
    lacking = 100 if "kill" in failpoint else 0
    rig.wait_until(lambda: view.rows >= ROWS - lacking, lambda: view.rows)
    assert view.rows == ROWS - lacking
    assert seen() == (ROWS, ROWS)
    log = sink.log_path.read_text()
    assert f"view={view.qualified}" in log
    assert "source_offset BETWEEN 0 AND 99" in log


def test_a_broken_view_is_named_by_a_metric(rig: SinkRig) -> None:
    rig.found_group()
    view = BrokenView(rig)
    rig.produce("enriched_events", [framed(offset, page_title=number(offset)) for offset in range(ROWS)])
    sink = rig.sink()
    sink.start()
    rig.wait_for_acknowledgement([ROWS, 0])
    failures = f'tally_sinks_view_failures_total{{topic="enriched_events",view="{view.qualified}"}}'
    assert sink.metric(failures) >= 1
    assert sink.metric('tally_sinks_view_lacking_rows{topic="enriched_events"}') == ROWS
    view.mend()
    rig.wait_until(lambda: view.rows == ROWS, lambda: view.rows)
