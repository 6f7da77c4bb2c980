"""Two replicas of one ClickHouse table, at the level of the HTTP interface.

They share the log and its tokens; the second has not fetched what the first wrote until it is made to.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np

from sinks.clickhouse.http import Connection, Server
from sinks.errors import WriteFailedError
from sinks.failpoints import Failpoint, nothing

SETTINGS = "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"


class Cluster:
    """What Keeper has: the log of parts and the tokens. `reachable`: whether replicas can fetch from each other."""

    def __init__(self, engine: str = "ReplicatedMergeTree") -> None:
        self.engine = engine
        self.log: list[list[int]] = []
        self.tokens: set[str] = set()
        self.reachable = True
        self.live = 2

    @property
    def offsets(self) -> list[int]:
        """Every row there is, as a replica shows it that has fetched everything."""
        return sorted(offset for part in self.log for offset in part)


class Replica(Connection):
    """One server. `fetched`: which parts of the log it has."""

    def __init__(self, cluster: Cluster, settings: str = SETTINGS) -> None:
        super().__init__(Server("127.0.0.1", 1, "tally", "default", "", 10.0))
        self.cluster = cluster
        self.fetched: set[int] = set()
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self._settings = settings

    def send(
        self, query: str, body: Sequence[bytes], settings: Mapping[str, Any], failpoint: Failpoint = nothing
    ) -> bytes:
        self.statements.append((query, dict(settings)))
        if query.startswith("INSERT"):
            return self._insert(b"".join(body), dict(settings))
        if query.startswith("SYSTEM SYNC REPLICA"):
            if not self.cluster.reachable:
                raise WriteFailedError("SYNC REPLICA: timeout", 159)
            self.fetched = set(range(len(self.cluster.log)))
            return b""
        if "FROM system.tables" in query:
            return json.dumps([self.cluster.engine, f"{self.cluster.engine} SETTINGS {self._settings}"]).encode()
        assert query.startswith("SELECT source_offset"), query
        sequential = settings.get("select_sequential_consistency") and self.cluster.engine.startswith("Shared")
        shown = range(len(self.cluster.log)) if sequential else sorted(self.fetched)
        return np.array([offset for part in shown for offset in self.cluster.log[part]], np.uint64).tobytes()

    def _insert(self, body: bytes, settings: Mapping[str, Any]) -> bytes:
        if str(settings.get("insert_quorum", 0)) != "0" and self.cluster.live < 2:
            raise WriteFailedError("too few live replicas", 285)
        token = settings["insert_deduplication_token"]
        if token not in self.cluster.tokens:
            self.cluster.tokens.add(token)
            records = fastavro.reader(io.BytesIO(body))
            self.cluster.log.append([record["source_offset"] for record in records])
            self.fetched.add(len(self.cluster.log) - 1)
        return b""  # "already exists on other replicas": answered 200, and nothing is here
