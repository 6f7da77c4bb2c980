"""Schema ids answered from memory; the registry is asked by a thread, never on the event loop."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.registry import SchemaIds, SchemaUnknownError

_REFUSAL_S: Final = 60.0  # a record's id is registered before it is written: who asks again so soon gets the same


class SchemaAbsentError(Exception):
    """A schema is not in memory: `fetch`, which blocks, brings it, and may raise RegistryUnavailableError."""

    def __init__(self, schema_id: int, fetch: Callable[[], None]) -> None:
        self.fetch = fetch
        super().__init__(f"the schema {schema_id} has not been asked for yet")


class SchemaOfLaterReleaseError(Exception):
    """Records of a release that this worker is older than: they are not bad, the worker is to be upgraded."""


class SchemasApart:
    """`SchemaIds` over those that may block. `schema` raises SchemaAbsentError for an id not met before."""

    def __init__(self, ids: SchemaIds, clock: Callable[[], float] = time.monotonic) -> None:
        self._ids = ids
        self._clock = clock
        self._schemas: dict[int, Mapping[str, Any]] = {}
        self._refused: dict[int, tuple[float, SchemaUnknownError]] = {}

    def schema_id(self, topic: str) -> int:
        """Asked at the start alone, when the registry has answered already."""
        return self._ids.schema_id(topic)

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        """The schema of an id. Raises SchemaUnknownError, SchemaAbsentError or SchemaOfLaterReleaseError."""
        found = self._schemas.get(schema_id)
        if found is not None:
            return found
        refused = self._refused.get(schema_id)
        if refused is None:
            raise SchemaAbsentError(schema_id, lambda: self._fetch(schema_id))
        raise refused[1]

    def _fetch(self, schema_id: int) -> None:
        now = self._clock()
        self._refused = {name: refused for name, refused in self._refused.items() if now - refused[0] < _REFUSAL_S}
        try:
            self._schemas[schema_id] = self._ids.schema(schema_id)
        except SchemaUnknownError as error:
            if error.may_come:
                raise SchemaOfLaterReleaseError(
                    f"records have the schema id {schema_id}, which a later release may write: upgrade this worker"
                ) from None
            self._refused[schema_id] = now, error
