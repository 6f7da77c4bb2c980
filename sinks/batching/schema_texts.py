"""The writers' schemas of a topic's records, by schema id, as the database reads them."""

import json

from schemas.outcomes import DeadReason
from schemas.registry import (
    RegistryUnavailableError,
    SchemaIds,
    SchemaUnknownError,
    current_schema,
    without_docs,
)
from sinks.errors import TopicStoppedError


class SchemaTexts:
    """Asks for each id once."""

    def __init__(self, topic: str, ids: SchemaIds) -> None:
        self._topic = topic
        self._name = current_schema(topic)["name"]
        self._ids = ids
        self._texts: dict[int, bytes] = {}

    def verdict(self, schema_id: int) -> tuple[DeadReason, str] | None:
        """What is wrong with records of this id on this topic; None when nothing is.

        Raises TopicStoppedError when nobody can tell yet: setting such records aside would do harm.
        """
        if schema_id in self._texts:
            return None
        try:
            schema = self._ids.schema(schema_id)
        except RegistryUnavailableError as error:
            raise TopicStoppedError("registry_away", str(error)) from None
        except SchemaUnknownError as error:
            if error.may_come:
                detail = f"records of a later release ({error}): upgrade the sinks first, then streams"
                raise TopicStoppedError("schema_id_unknown", detail) from None
            return DeadReason.SCHEMA_ID_UNKNOWN, str(error)
        if schema["name"] != self._name:
            return DeadReason.SCHEMA_MISMATCH, f"schema {schema_id} is {schema['name']}, topic {self._topic}"
        self._texts[schema_id] = json.dumps(without_docs(schema)).encode()
        return None

    def text(self, schema_id: int) -> bytes:
        """The JSON of a schema that `verdict` has found right."""
        return self._texts[schema_id]
