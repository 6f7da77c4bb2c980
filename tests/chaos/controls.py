"""Negative controls: a safeguard is taken away, and the proof must see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.proof import Scale
from tests.chaos.site import Sabotage

_WORKER: Final[Mapping[str, str]] = {"streams": "tests.streams.failing_worker"}
_SINK: Final[Mapping[str, str]] = {"sinks": "tests.sinks.forgetful"}
# Without faults: the one that a control needs is part of it.
SCALE: Final = Scale(events=8_000, kills=0, events_per_s=2_000, outage_s=0, freeze_s=0, pause_s=1.0, every=())


@dataclass(frozen=True, slots=True)
class Control:
    """What is taken away, and what of the verdict must be wrong then."""

    sabotage: Sabotage
    must_be_wrong: str


CONTROLS: Final[Mapping[str, Control]] = {
    "deduplication off": Control(Sabotage(_WORKER, {"UNDEDUPLICATED": "1"}), "doubled"),
    "a batch dropped": Control(Sabotage(_SINK, {"FORGET": "batch"}), "lost"),
    "offset guard off": Control(Sabotage(_WORKER, {"UNGUARDED": "1"}, {"KILL_BEFORE_COMMIT": "3"}), "sessions"),
    "watermark off": Control(
        Sabotage({**_WORKER, **_SINK}, {"FORGET": "watermark"}, {"KILL_BEFORE_STATES": "3"}), "doubled"
    ),
}
