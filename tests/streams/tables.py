"""Tables without Faust: a store, and the name of a changelog."""

from typing import Any, cast

from streams.store import ShardStore
from streams.tables import WriteBehindTable


class _App:
    class conf:
        """Nothing is asked of it."""


class FakeTable:
    """What sources ask of a table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changelog_topic_name = f"{name}-changelog"
        self.store = ShardStore("shards://", cast(Any, _App()), cast(Any, self), table_name=name)


def fake_table(name: str) -> WriteBehindTable:
    """A table with an empty store."""
    return cast(WriteBehindTable, FakeTable(name))
