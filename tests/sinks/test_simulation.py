"""Each source stands in the table once, whatever happens to the sinks; not so when a safeguard is taken away."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

import pytest

from tests.effort import seeds
from tests.sinks.forgetful import forget_table, forget_tokens, forget_watermark
from tests.sinks.memory import MemoryView, MemoryWriter
from tests.sinks.simulation import EXPECTED, Simulation

SEEDS = seeds(40)
FEW_SEEDS = range(6)


@pytest.mark.parametrize("forgets_tokens", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_source_stands_once_whatever_happened(seed: int, forgets_tokens: bool) -> None:
    run = Simulation(seed, forgets_tokens)
    stood = run.live()
    assert sorted(run.table.sources) == EXPECTED
    assert run.at_rest()
    assert stood > 0


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize("forgets_tokens", [False, True])
@pytest.mark.parametrize("seed", seeds(20))
def test_a_view_that_breaks_and_a_server_that_lags_double_nothing_and_set_nothing_aside(
    seed: int, forgets_tokens: bool, window: bool
) -> None:
    view = MemoryView(window=window)
    run = Simulation(seed, forgets_tokens, view, lags=True)
    run.live()
    assert sorted(run.table.sources) == EXPECTED
    assert run.at_rest()
    assert run.dead_letters + sum(len(sink.dead_letters.published) for sink in run.sinks) == 0
    if window and not forgets_tokens:
        assert len(view.rows) == len(set(view.rows))


def test_with_the_lagging_server_believed_rows_are_doubled() -> None:
    found = []
    for seed in FEW_SEEDS:
        run = Simulation(seed, False, lags=True, credulous=True)
        run.live()
        found += [] if run.is_right else [seed]
    assert found


def wrong(forgets_tokens: bool, *forget: Callable[[], AbstractContextManager[object]]) -> Sequence[int]:
    """The seeds of which the table is wrong when the sinks lack these safeguards."""
    with ExitStack() as forgotten:
        for safeguard in forget:
            forgotten.enter_context(safeguard())
        found = []
        for seed in FEW_SEEDS:
            run = Simulation(seed, forgets_tokens)
            run.live()
            if not run.is_right:
                found.append(seed)
        return found


def test_with_tokens_forgotten_and_the_table_never_asked_rows_are_doubled() -> None:
    assert wrong(True, forget_table) == list(FEW_SEEDS)


def test_with_useless_tokens_and_the_table_never_asked_rows_are_doubled() -> None:
    assert wrong(False, forget_table, lambda: forget_tokens(MemoryWriter)) == list(FEW_SEEDS)


def test_with_useless_tokens_though_the_table_is_asked_late_requests_double_rows() -> None:
    # What a dead sink had sent arrives when its heir has asked and written: only the token tells them apart.
    assert len(wrong(False, lambda: forget_tokens(MemoryWriter))) >= len(FEW_SEEDS) // 3


@pytest.mark.parametrize("forgets_tokens", [False, True])
def test_without_the_watermark_repeats_become_rows(forgets_tokens: bool) -> None:
    assert wrong(forgets_tokens, forget_watermark) == list(FEW_SEEDS)
