"""Which worker of a parallel run gets which tests: the longest files first, so that none runs alone at the end.

A file's tests stay on one worker, which has its servers; those of `_APART` are so long that each goes for itself.
"""

from typing import Final

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_APART: Final = (
    "tests/bench/test_every_line.py",
    "tests/chaos/test_controls.py",
)
# As measured, by the seconds they take among others. Whatever takes less than 15 follows in its own order.
_LONGEST_FIRST: Final = (
    "tests/bench/test_every_line.py",
    "tests/streams/test_killed_workers.py",
    "tests/streams/carry/test_carry.py",
    "tests/streams/test_suspended_workers.py",
    "tests/sinks/clickhouse/test_views.py",
    "tests/collector/test_outages.py",
    "tests/sinks/replay/",
    "tests/sinks/test_kill.py",
    "tests/sinks/ledger/test_monitor_metrics.py",
    "tests/collector/server/test_lifecycle.py",
    "tests/end_to_end/test_accounting.py",
    "tests/sinks/test_rebalance.py",
    "tests/docker/test_alert_rules.py",
    "tests/chaos/test_controls.py",
    "tests/sinks/clickhouse/test_types_in_motion.py",
    "tests/streams/test_upgrades.py",
    "tests/end_to_end/test_replay.py",
    "tests/sinks/write/test_refused_rows.py",
    "tests/sinks/test_outage.py",
    "tests/schemas/apply/test_person_law.py",
    "tests/schemas/apply/test_migrations.py",
    "tests/sinks/rollups/test_rollup_tables.py",
    "tests/streams/test_inspection.py",
    "tests/streams/test_rolling_restarts.py",
    "tests/sinks/clickhouse/test_rows.py",
    "tests/sinks/test_generations.py",
    "tests/sinks/ledger/test_audit.py",
    "tests/sinks/ledger/test_servers_away.py",
    "tests/sinks/test_start_and_stop.py",
    "tests/sinks/consume/test_consumers.py",
    "tests/collector/sdks/test_older_and_java_sdks.py",
    "tests/streams/test_bad_records.py",
    "tests/browser/test_rudderstack.py",
    "tests/streams/test_assignments.py",
    "tests/streams/test_offset_guard.py",
    "tests/sinks/test_registry_away.py",
    "tests/local/",
    "tests/collector/test_stored_events.py",
    "tests/collector/projects/test_commands.py",
    "tests/browser/test_segment.py",
    "tests/dashboards/",
    "tests/end_to_end/",
    "tests/schemas/apply/test_operators_changes.py",
    "tests/bench/test_questions.py",
    "tests/sinks/query/test_answers.py",
    "tests/schemas/apply/test_query_patterns.py",
    "tests/streams/test_conversations.py",
    "tests/browser/",
    "tests/sinks/ledger/",
    "tests/collector/events/test_hostile_json.py",
    # Those that need no server, in a run of their own.
    "tests/collector/http/test_connection.py",
    "tests/schemas/test_codec_law.py",
    "tests/sinks/test_simulation.py",
    "tests/streams/events/test_enrich_law.py",
    "tests/streams/sessions/test_sessionize_law.py",
    "tests/chaos/test_faults.py",
    "tests/project/",
    "tests/bench/test_bench.py",
    "tests/streams/test_group_law.py",
    "tests/streams/test_crash_law.py",
)


def turn(nodeid: str) -> int:
    """Where a test's file stands in the order; those that are not listed keep theirs, after the others."""
    return next((at for at, path in enumerate(_LONGEST_FIRST) if nodeid.startswith(path)), len(_LONGEST_FIRST))


class LongestFirst(LoadFileScheduling):
    """xdist's `loadfile`, but that no worker holds back a long file for long.

    A worker starts a test when it knows the next one. Beside a test that takes minutes the next file in the order would
    wait as long; so that is given the last one, which is short.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return nodeid if path in _APART else path

    def _reschedule(self, node: WorkerController) -> None:
        pending = [scope for scope, tests in self.assigned_work[node].items() if not all(tests.values())]
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        if self.workqueue and any(turn(scope) < len(_LONGEST_FIRST) for scope in pending):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._reschedule(node)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LongestFirst:
    """For `-n`, whatever `--dist` says."""
    return LongestFirst(config, log)
