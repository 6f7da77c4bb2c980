"""Tables without Faust: a store, and the name of a changelog."""

from streams.runtime.store import ShardStore


class FakeTable:
    """What sources ask of a table, with an empty store."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changelog_topic_name = f"{name}-changelog"
        self.store = ShardStore("shards://", _App(), self, table_name=name)


class _App:
    class conf:
        """Nothing is asked of it."""
