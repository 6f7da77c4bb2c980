"""What the benchmarks print: one JSON object a line, named and with a unit."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

BUSY_SHARE: Final = 0.05  # of the machine's CPU in others' hands: from there on a line says that it was disturbed


class WrongOutputError(RuntimeError):
    """What was measured did not do its work rightly; a figure for that would mean nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: the median of its rounds, between the lowest and the highest of them.

    `baseline` is what it is compared with in the same rounds, in the same unit (a median too); `ratio` is the median
    of each round's ratio, and the note says which way it is taken. `others_cpu` is the largest share of the machine's
    CPU that processes of others (and the hypervisor) used before or during a round: with more than `BUSY_SHARE` the
    line is `busy`, and its figure is not to be believed.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    rounds: int = 1
    others_cpu: float = 0.0
    busy: bool = False
    note: str = ""

    def as_json(self) -> str:
        """The line as it is printed."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, str | float | None]:
        """The line with its figures cut to what can be believed."""
        cut = {name: believable(value) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return cut | {"others_cpu": round(self.others_cpu, 2)}


def believable(value: float) -> float:
    """Two significant digits, three when the first is a 1: steps of 1 to 5 %, about what rounds differ by."""
    if value == 0 or not math.isfinite(value):
        return value
    return float(f"{value:.{3 if f'{abs(value):e}'.startswith('1') else 2}g}")


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed. Raises ValueError when there is none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def require(condition: bool, problem: str) -> None:
    """Raises WrongOutputError unless the condition holds."""
    if not condition:
        raise WrongOutputError(problem)


def require_equal(what: str, found: object, expected: object) -> None:
    """Raises WrongOutputError unless the two are the same."""
    require(found == expected, f"{what}: {found}, should be {expected}")
