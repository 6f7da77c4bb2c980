"""How much a test tries: all of it, or a fifth in the inner loop (`make test-fast`), which runs again and again.

`red` (`make mutants`) is all of it, with the same examples each time, and what fails is not made smaller: there it only
matters that it failed.
"""

import os
from typing import Final

from hypothesis import Phase, settings

VARIABLE: Final = "TEST_EFFORT"
_EXAMPLES: Final = 100  # Hypothesis's default
_EFFORT: Final = os.environ.get(VARIABLE)
_DIVISOR: Final = 5 if _EFFORT == "quick" else 1
_PHASES: Final = tuple(phase for phase in Phase if _EFFORT != "red" or phase in (Phase.explicit, Phase.generate))


def seeds(count: int) -> range:
    """So many seeds, or a fifth of them."""
    return range(examples(count))


def examples(count: int) -> int:
    """So many examples of a property, or a fifth of them."""
    return max(1, count // _DIVISOR)


def register() -> None:
    """Hypothesis's settings.

    A shared machine has no deadlines. CI repeats the same examples, so that a failure there is the change's own.
    """
    is_ci = os.environ.get("CI") == "true"
    settings.register_profile(
        "tally",
        deadline=None,
        derandomize=is_ci or _EFFORT == "red",
        max_examples=examples(_EXAMPLES),
        phases=_PHASES,
    )
    settings.load_profile("tally")
