"""A worker as its admin port sees it, without Faust: it passes the same tests as the real application."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from faust.types import TP


@dataclass
class FakeStore:
    """Counts what came back from a changelog."""

    restored: int = 0


@dataclass
class FakeStateTable:
    """A table with its store."""

    store: FakeStore = field(default_factory=FakeStore)


@dataclass
class FakeEpochs:
    """How far the epochs are."""

    last_commit_at: float = 0.0
    oldest_s: float = 0.0
    topics: Mapping[str, str] = field(default_factory=lambda: {"raw": "raw_events"})

    def oldest_seconds(self) -> float:
        return self.oldest_s


class FakePositions:
    """Owns one partition in which so many records wait."""

    waiting = 0

    def assignment(self) -> set[TP]:
        return {TP("raw", 0)}

    def highwater(self, _tp: TP) -> int:
        return self.waiting

    def is_at_end(self, _tp: TP) -> bool:
        return not self.waiting

    def committed_offset(self, _tp: TP) -> int:
        return 0


class FakeApp:
    """A worker that processes and has nothing to do, until a test says otherwise."""

    def __init__(self) -> None:
        self.started = True
        self.rebalancing = self.in_recovery = False
        self.rebalancing_count = 1
        self.crash_reason: BaseException | None = None
        self.epochs = FakeEpochs()
        self.state_tables = {"sessions": FakeStateTable()}
        self.consumer = FakePositions()

    @property
    def crashed(self) -> bool:
        return self.crash_reason is not None
