"""How a topic's schema may change: whatever was written is read by the schemas of all later releases."""

from typing import Any

import pytest

from schemas.evolution import IncompatibleSchemaError, check_readable, next_ids
from schemas.registry import versions

TEXT, MAYBE = "string", ["null", "string"]


def schema(**types: Any) -> dict[str, Any]:
    """A record's schema; a type in a tuple has the default None."""
    fields = [
        {"name": name, "type": of[0], "default": None} if isinstance(of, tuple) else {"name": name, "type": of}
        for name, of in types.items()
    ]
    return {"type": "record", "name": "events", "fields": fields}


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (schema(a=TEXT), schema(a=TEXT)),
        (schema(a=TEXT), schema(a=TEXT, gone="long")),
        (schema(a=TEXT, new=(MAYBE,)), schema(a=TEXT)),
        (schema(a=MAYBE), schema(a=TEXT)),
        (schema(a="long"), schema(a="int")),
    ],
    ids=["the same", "a field less", "a field with a default", "nullable", "wider"],
)
def test_what_can_be_read_may_be(reader: dict[str, Any], writer: dict[str, Any]) -> None:
    check_readable(reader, writer)


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (schema(a=TEXT, new=MAYBE), schema(a=TEXT)),
        (schema(a=TEXT), schema(a=MAYBE)),
        (schema(a="int"), schema(a="long")),
        (schema(a="bytes"), schema(a=TEXT)),
    ],
    ids=["a field without a default", "no longer nullable", "narrower", "another type"],
)
def test_what_cannot_be_read_is_refused_by_its_name(reader: dict[str, Any], writer: dict[str, Any]) -> None:
    name = reader["fields"][-1]["name"]
    with pytest.raises(IncompatibleSchemaError, match=f"events.{name}"):
        check_readable(reader, writer)


def test_every_version_ever_committed_is_read_by_that_of_today() -> None:
    newest = {version.topic: version.schema for version in versions()}
    for version in versions():
        check_readable(newest[version.topic], version.schema)
    assert len(next_ids()) == len(versions())
