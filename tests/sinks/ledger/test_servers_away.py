"""Kafka and ClickHouse go away and come back while the ledger is kept: only its age tells; then it is up to date."""

import pytest

from docker.local.process import ServerProcess
from tests.sinks.accounts import Accounts
from tests.sinks.rig import Sink, SinkRig


@pytest.fixture
def accounts(outage_rig: SinkRig) -> Accounts:
    return Accounts(outage_rig)


def shows(accounts: Accounts, sink: Sink, stored: int) -> None:
    def found() -> tuple[float, float]:
        outcome = sink.metric('tally_sinks_ledger_events{outcome="stored"}')
        return outcome, sink.metric("tally_sinks_ledger_difference")

    accounts.rig.wait_until(lambda: found() == (stored, 0), found)


@pytest.mark.parametrize("which", ["own_kafka", "own_clickhouse"])
def test_an_outage_ages_the_ledger_and_nothing_else(
    accounts: Accounts, which: str, request: pytest.FixtureRequest
) -> None:
    accounts.accept(8)
    accounts.hand_on(5)
    sink = accounts.rig.sink("enriched_events", "dead_letters", sinks_ledger_interval_s=1, sinks_request_ms_max=2_000)
    sink.start()
    shows(accounts, sink, 5)
    server: ServerProcess = request.getfixturevalue(which)
    server.kill()
    accounts.rig.wait_for_word(sink, "the ledger is not up to date")
    kept_at = sink.metric("tally_sinks_ledger_timestamp_seconds")
    assert sink.metric('tally_sinks_ledger_events{outcome="stored"}') == 5
    assert sink.metric("tally_sinks_ledger_difference") == 0
    assert sink.get("/healthz")[0] == 200
    server.start()
    accounts.hand_on(8, left_out=range(5))
    shows(accounts, sink, 8)
    assert sink.metric("tally_sinks_ledger_timestamp_seconds") > kept_at
    assert sink.running
