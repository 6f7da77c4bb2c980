"""Every place that counts events by outcome has all outcomes of the one list."""

from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import SinksMetrics
from sinks.ledger.account import Account
from sinks.ledger.outcomes import ACCOUNTED, LedgerOutcome, difference
from sinks.ledger.pages import Figures


def test_an_account_and_a_page_have_every_outcome() -> None:
    assert list(Account().events()) == list(LedgerOutcome)
    assert {*Figures._fields, LedgerOutcome.IN_FLIGHT} == set(LedgerOutcome)


def test_the_metric_names_every_outcome() -> None:
    registry = CollectorRegistry()
    SinksMetrics(registry)
    (told,) = [
        line for line in generate_latest(registry).decode().splitlines() if "HELP tally_sinks_ledger_events " in line
    ]
    assert f"by outcome: {', '.join(LedgerOutcome)};" in told


def test_what_is_accounted_for_leaves_no_difference() -> None:
    events = {LedgerOutcome.ACCEPTED: 10, **dict.fromkeys(ACCOUNTED, 2), LedgerOutcome.LOST: 2}
    assert difference({str(name): count for name, count in events.items()}) == 2
