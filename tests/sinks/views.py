"""A materialized view on `events` that can be broken and mended, on the real ClickHouse."""

from tests.sinks.rig import SinkRig


class BrokenView:
    """Counts on numbers in page_title: a row with another text makes it fail."""

    def __init__(self, rig: SinkRig, window: bool = True, name: str = "numbers") -> None:
        self._rig = rig
        self._name = name
        self.create_target(window)
        self._create("toUInt32(page_title)")

    @property
    def qualified(self) -> str:
        """As the server names it."""
        return f"{self._rig.settings.clickhouse_database}.{self._name}"

    def mend(self) -> None:
        """It takes every row from now on."""
        self.drop()
        self.create()

    def drop(self) -> None:
        """The first half of mending it."""
        self._rig.query(f"DROP TABLE {{db}}.{self._name} SYNC")

    def create(self) -> None:
        """The second half."""
        self._create("toUInt32OrZero(page_title)")

    def alter(self) -> None:
        """The other way of mending it."""
        query = "SELECT toUInt32(toUInt32OrZero(page_title)) AS n FROM {db}.events"
        self._rig.query(f"ALTER TABLE {{db}}.{self._name} MODIFY QUERY {query}")

    @property
    def rows(self) -> int:
        """How many rows the target has."""
        return self._rig.rows(f"{self._name}_target")

    def create_target(self, window: bool = True) -> None:
        """What the view writes to, empty."""
        self._rig.query(
            f"CREATE TABLE {{db}}.{self._name}_target (n UInt32) ENGINE = MergeTree ORDER BY n "
            f"SETTINGS non_replicated_deduplication_window = {100 if window else 0}"
        )

    def drop_target(self) -> None:
        """What the view writes to is gone."""
        self._rig.query(f"DROP TABLE {{db}}.{self._name}_target SYNC")

    def _create(self, expression: str) -> None:
        self._rig.query(
            f"CREATE MATERIALIZED VIEW {{db}}.{self._name} TO {{db}}.{self._name}_target "
            f"AS SELECT {expression} AS n FROM {{db}}.events"
        )
