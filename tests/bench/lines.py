"""What the benchmarks print: one JSON object a line, named and with a unit."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


class WrongOutputError(RuntimeError):
    """What was measured did not do its work rightly; a figure for that would mean nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `baseline` is what it is compared with in the same run, in the same unit; the note says which way
    `ratio` is taken.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    note: str = ""

    def as_json(self) -> str:
        """The line as it is printed."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, str | float | None]:
        """The line with its figures cut to what can be believed."""
        return {name: significant(value) if isinstance(value, float) else value for name, value in asdict(self).items()}


def significant(value: float, digits: int = 4) -> float:
    """The value to so many significant digits."""
    return float(f"{value:.{digits}g}")


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
