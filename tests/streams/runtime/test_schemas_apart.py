"""The registry is asked when somebody may wait for it, once an id; who writes later schemas has not written badly."""

from collections.abc import Mapping
from typing import Any

import pytest

from schemas.registry import EmbeddedIds, SchemaUnknownError, versions
from streams.runtime.schemas_apart import SchemaAbsentError, SchemaOfLaterReleaseError, SchemasApart


class Registry:
    """Knows one id; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def schema_id(self, topic: str) -> int:
        return 7

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        self.asked.append(schema_id)
        if schema_id != 7:
            raise SchemaUnknownError(schema_id)
        return {"name": "seven"}


def test_nothing_is_asked_until_somebody_fetches_and_then_once() -> None:
    registry = Registry()
    ids = SchemasApart(registry)
    with pytest.raises(SchemaAbsentError) as absent:
        ids.schema(7)
    assert registry.asked == []
    absent.value.fetch()
    assert [ids.schema(7)["name"], ids.schema(7)["name"], registry.asked] == ["seven", "seven", [7]]


def test_a_refusal_is_remembered_for_a_while() -> None:
    registry, now = Registry(), 0.0
    ids = SchemasApart(registry, lambda: now)
    with pytest.raises(SchemaAbsentError) as absent:
        ids.schema(8)
    absent.value.fetch()
    for _ in range(3):
        with pytest.raises(SchemaUnknownError):
            ids.schema(8)
    assert registry.asked == [8]
    now = 61.0
    with pytest.raises(SchemaAbsentError) as other:
        ids.schema(7)
    other.value.fetch()
    with pytest.raises(SchemaAbsentError):
        ids.schema(8)


def test_records_of_a_later_release_are_not_bad() -> None:
    ids = SchemasApart(EmbeddedIds())
    with pytest.raises(SchemaAbsentError) as absent:
        ids.schema(max(version.schema_id for version in versions()) + 1)
    with pytest.raises(SchemaOfLaterReleaseError, match="upgrade"):
        absent.value.fetch()
