"""Rounds: whatever is compared is measured in turn (A B C, A B C, A B C), so that a slow minute is everybody's."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.lines import BUSY_SHARE, Line


@dataclass(frozen=True, slots=True)
class Reading:
    """What one arm showed in one round: its figures by name, and the share of the machine's CPU that others used."""

    figures: Mapping[str, float]
    others_cpu: float


@dataclass(frozen=True, slots=True)
class Readings:
    """Those of one arm, in the order of the rounds."""

    rounds: tuple[Reading, ...]

    def of(self, figure: str) -> list[float]:
        """A figure in each round."""
        return [reading.figures[figure] for reading in self.rounds]

    def median(self, figure: str) -> float:
        """A figure's median, as the notes give it."""
        return median(self.of(figure))

    @property
    def others_cpu(self) -> float:
        """In the worst round."""
        return max(reading.others_cpu for reading in self.rounds)


Arm = Callable[[int], Reading]  # gets the number of the round, from 0


def in_turn(arms: Mapping[str, Arm], rounds: int, before: Callable[[], float]) -> dict[str, Readings]:
    """Every arm once in each round, in the mapping's order.

    `before` tells what share of the CPU others use while nothing is measured; it counts for the whole round: beside a
    process that takes all it can get, others get less and would look smaller than they are.
    """
    found: dict[str, list[Reading]] = {name: [] for name in arms}
    for number in range(rounds):
        others_before = before()
        for name, arm in arms.items():
            reading = arm(number)
            found[name].append(Reading(reading.figures, max(reading.others_cpu, others_before)))
    return {name: Readings(tuple(readings)) for name, readings in found.items()}


def make_line(
    name: str,
    unit: str,
    readings: Readings,
    figure: str,
    *,
    against: tuple[Readings, str] | None = None,
    turned: bool = False,
    note: str = "",
) -> Line:
    """A line about a figure, and about its ratio to a figure of another arm in the same round.

    turned: the ratio is the other's figure by this one's.
    """
    values = readings.of(figure)
    line = Line(
        name,
        median(values),
        min(values),
        max(values),
        unit,
        rounds=len(values),
        others_cpu=readings.others_cpu,
        note=note,
    )
    if against is not None:
        other, its_figure = against
        ratios = list(_ratios(values, other.of(its_figure), turned))
        line = replace(
            line,
            baseline=other.median(its_figure),
            ratio=median(ratios),
            ratio_low=min(ratios),
            ratio_high=max(ratios),
            others_cpu=max(line.others_cpu, other.others_cpu),
        )
    # Told in whole percent, so flagged by whole percent.
    share = round(line.others_cpu, 2)
    return replace(line, others_cpu=share, busy=share > BUSY_SHARE)


def _ratios(values: list[float], baselines: list[float], turned: bool) -> Iterator[float]:
    for value, baseline in zip(values, baselines, strict=True):
        yield baseline / value if turned else value / baseline
