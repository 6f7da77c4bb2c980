"""How a schema may change: BACKWARD_TRANSITIVE, today's reader reads every version that was ever written."""

from collections.abc import Mapping
from typing import Any

from schemas.registry import current_schema, versions, without_docs
from schemas.topics import TOPICS


def next_ids() -> list[dict[str, Any]]:
    """`ids.json` with an entry appended for each topic whose `.avsc` changed: what the file should hold."""
    entries: list[dict[str, Any]] = [
        {"id": v.schema_id, "topic": v.topic, "version": v.version, "schema": v.schema} for v in versions()
    ]
    for topic in TOPICS:
        schema = without_docs(current_schema(topic))
        mine = [entry for entry in entries if entry["topic"] == topic]
        if not mine or mine[-1]["schema"] != schema:
            for entry in mine:
                check_readable(schema, entry["schema"])
            entries.append({"id": len(entries) + 1, "topic": topic, "version": len(mine) + 1, "schema": schema})
    return entries


class IncompatibleSchemaError(ValueError):
    """A reader's schema cannot read what an older writer wrote (BACKWARD_TRANSITIVE is broken)."""


def check_readable(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> None:
    """Raise IncompatibleSchemaError unless records of `writer` can be read as `reader`.

    For flat records, as all of ours are: a field of both keeps its type, a field only the reader has needs a default.
    """
    old = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        name = field["name"]
        if name not in old:
            if "default" not in field:
                raise IncompatibleSchemaError(f"{reader['name']}.{name}: a new field needs a default")
        elif field["type"] != old[name]["type"] and not _widened(old[name], field):
            raise IncompatibleSchemaError(f"{reader['name']}.{name}: {old[name]['type']} became {field['type']}")


def _widened(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """A plain type that became nullable, or an int that became a long, reads on."""
    widened = isinstance(new["type"], list) and old["type"] in new["type"]
    return widened or (old["type"], new["type"]) == ("int", "long")
