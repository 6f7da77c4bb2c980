"""Named places at which a test makes the process die or lose an answer; in production each is an empty call a batch.

`SINKS_FAILPOINT=after_insert:kill:3` kills the process when it comes to `after_insert` the third time;
`before_commit:drop` raises ConnectionError at the first. An action happens once; several are separated by commas.
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

VARIABLE: Final = "SINKS_FAILPOINT"
NAMES: Final = ("before_plan", "after_plan", "before_insert", "during_insert", "after_insert", "before_commit")

QUESTION: Final = "before_question"  # only what is in doubt comes here: a server that lags does not answer

Failpoint = Callable[[str], None]


def nothing(_name: str) -> None:
    """No failpoint is set."""


def from_environ(environ: Mapping[str, str]) -> Failpoint:
    """The failpoint that the environment names. Raises ValueError when it is not a failpoint."""
    setting = environ.get(VARIABLE)
    if not setting:
        return nothing
    actions = [_parse(text) for text in setting.split(",")]

    def failpoint(name: str) -> None:
        for action in actions:
            action(name)

    return failpoint


def _parse(text: str) -> "_Once":
    name, action, count = [*text.split(":"), "1"][:3]
    if name not in (*NAMES, QUESTION) or action not in _ACTIONS or not count.isdigit():
        raise ValueError(
            f"{VARIABLE}={text}: expected NAME:ACTION[:COUNT], NAME one of {', '.join((*NAMES, QUESTION))}"
        )
    return _Once(name, _ACTIONS[action], int(count))


class _Once:
    def __init__(self, name: str, action: Callable[[], None], count: int) -> None:
        self._name = name
        self._action = action
        self._left = count

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                self._action()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _drop() -> None:
    raise ConnectionError("the answer is lost: a failpoint says so")


_ACTIONS: Final = {"kill": _kill, "drop": _drop}
