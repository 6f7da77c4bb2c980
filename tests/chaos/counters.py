"""What the processes count of themselves, read again and again since a crash resets it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from docker.local.clickhouse import ClickHouseServer
from docker.local.services import Service

SKIPPED: Final = "skipped_by_guard"
# Mechanisms, by the counter that says how often each caught something.
COUNTED: Final[Mapping[str, str]] = {
    'tally_sinks_records_total{outcome="drop",reason="replayed",topic="enriched_events"}': "dropped_by_watermark",
    'tally_sinks_batches_total{outcome="already_there",topic="enriched_events"}': "batches_found_in_table",
    'tally_sinks_batches_total{outcome="retried",topic="enriched_events"}': "inserts_repeated",
    'tally_streams_records_total{outcome="drop",reason="replayed",topic="raw_events"}': SKIPPED,
}
BY_TOKEN: Final = "blocks_dropped_by_token"
# Each has a fault that is certain to need it. The token is needed only when ClickHouse handles a request that was given
# up after the question that followed it.
CERTAIN: Final = tuple(COUNTED.values())
MECHANISMS: Final = (*COUNTED.values(), BY_TOKEN)
# ClickHouse counts a repeated block more than once: that it is 0, or more, is what it tells.
DROPPED_BY_TOKEN: Final = "SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks'"


class Counters:
    """The last reading of every life of every process."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int | None, str], float] = {}

    def read(self, service: Service) -> None:
        """A process's own page; nothing when it does not answer."""
        try:
            _, text = service.get("/metrics")
        except OSError:
            return
        samples = (line.rpartition(" ") for line in text.splitlines())
        self.note(service, {COUNTED[sample]: float(value) for sample, _, value in samples if sample in COUNTED})

    def note(self, service: Service, counted: Mapping[str, float]) -> None:
        """What a process has counted in this life, by mechanism."""
        for name, value in counted.items():
            self._last[service.name, service.pid, name] = value

    def read_database(self, clickhouse: ClickHouseServer) -> None:
        """What ClickHouse recognised by its token."""
        try:
            value = clickhouse.query(DROPPED_BY_TOKEN, timeout_s=1.0)
        except OSError:
            return
        self._last["clickhouse", clickhouse.pid, BY_TOKEN] = float(value)

    def totals(self) -> dict[str, int]:
        """Over all lives: at least so many, since what came after the last reading of a life is unknown."""
        found: Counter[str] = Counter(dict.fromkeys(MECHANISMS, 0))
        for (_, _, name), value in list(self._last.items()):  # the supervisor's thread writes
            found[name] += int(value)
        return dict(found)
