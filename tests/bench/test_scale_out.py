"""The model of more workers than there are cores, and the lines of those that run."""

import pytest

from tests.bench.lines import WrongOutputError
from tests.bench.machine import Cost
from tests.bench.rounds import Reading, Readings
from tests.bench.scale_out import Model, figures, summarise


def test_model_is_bound_by_the_worker_with_the_most_partitions() -> None:
    model = Model(cpu_us=20.0, idle_cores=0.0, partitions=12)
    assert [model.events_per_s(workers) for workers in (1, 4, 6, 8, 12)] == pytest.approx(
        [50_000, 200_000, 300_000, 300_000, 600_000]
    )


def test_more_workers_than_partitions_do_no_more() -> None:
    model = Model(cpu_us=20.0, idle_cores=0.0, partitions=12)
    assert model.events_per_s(13) == model.events_per_s(12)


def test_model_takes_off_what_a_worker_costs_whatever_comes() -> None:
    assert Model(20.0, 0.1, 12).events_per_s(4) == pytest.approx(180_000)


def test_figures_are_of_all_workers_together() -> None:
    found = figures(Cost(100_000, 2.0, 3.0), broker_s=0.5, done=[60_000.0, 40_000.0])
    assert found == pytest.approx({"per_s": 50_000, "cpu_us": 30, "broker_us": 5, "largest_share": 0.6})


def test_worker_without_work_is_no_figure() -> None:
    with pytest.raises(WrongOutputError, match="nothing to do"):
        figures(Cost(100_000, 2.0, 3.0), broker_s=0.5, done=[100_000.0, 0.0])


def test_lines_say_which_of_them_are_a_model_and_of_what() -> None:
    one = {"per_s": 40_000.0, "cpu_us": 20.0, "broker_us": 5.0, "largest_share": 1.0, "idle": 0.0}
    two = one | {"per_s": 60_000.0, "cpu_us": 25.0, "largest_share": 0.52}
    found = {name: Readings((Reading(each, 0.0),)) for name, each in (("one", one), ("two", two))}
    lines = {line.name: line for line in summarise(found, partitions=12)}
    rate, cost = lines["scale_out_2_events_per_s"], lines["scale_out_2_cpu_us_per_event"]
    assert (rate.ratio, cost.ratio) == (1.5, 1.25)
    four, eight = lines["scale_out_model_4_events_per_s"], lines["scale_out_model_8_events_per_s"]
    assert (four.value, four.ratio) == pytest.approx((160_000, 3.2))
    assert (eight.value, eight.ratio) == pytest.approx((240_000, 4.8))
    assert all(line.note.startswith("A MODEL, not measured") == (line in (four, eight)) for line in lines.values())
    assert "Kafka would take 0.8 cores" in four.note
