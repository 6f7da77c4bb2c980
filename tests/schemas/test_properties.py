"""How a property is named, which column it gets, and what SQL stands for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.properties import (
    MaterializedProperty,
    PropertyType,
    column_of,
    materialized_properties,
    property_expression,
    property_keys,
    property_name,
    property_type,
    read_comment,
    sql_text,
)

KEYS = st.lists(st.text(min_size=1), min_size=1)


@given(KEYS)
def test_every_path_of_keys_has_a_name_that_leads_back_to_it(keys: list[str]) -> None:
    assert property_keys(property_name(*keys)) == tuple(keys)


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a.", "a\\", "a\\b"])
def test_a_name_that_is_no_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="key"):
        property_keys(name)


def test_a_plain_name_is_seen_in_its_column() -> None:
    assert column_of("price") == "property_price"
    assert column_of("Price") == "property_Price"


@given(st.lists(st.tuples(st.text(max_size=60), st.none() | st.text(max_size=4)), unique=True, max_size=8))
def test_columns_are_identifiers_and_no_two_properties_share_one(names: list[tuple[str, str | None]]) -> None:
    columns = [column_of(*name) for name in names]
    assert len(set(columns)) == len(names)
    assert all(column.isascii() and column.isidentifier() and len(column) <= 64 for column in columns)


@pytest.mark.parametrize("names", [("a.b", "a_b"), ("é", "è"), ("a-b", "a b"), ("x" * 90, "x" * 91)])
def test_names_that_look_alike_in_sql_have_columns_of_their_own(names: tuple[str, str]) -> None:
    assert len({column_of(name) for name in names}) == 2


def test_an_unknown_type_is_refused_with_those_that_there_are() -> None:
    assert property_type("float64") is PropertyType.FLOAT64
    with pytest.raises(ValueError, match="String, Float64, Int64, Bool, DateTime"):
        property_type("Decimal")


def entry(name: str, kind: PropertyType = PropertyType.FLOAT64, project: str | None = None) -> MaterializedProperty:
    return MaterializedProperty(name, kind, column_of(name, project), project)


def test_a_property_is_its_column_only_where_that_has_the_type_asked_for() -> None:
    columns = {"price": entry("price")}
    assert property_expression("price", PropertyType.FLOAT64, columns) == "property_price"
    assert "JSONExtract" in property_expression("price", PropertyType.STRING, columns)
    assert "JSONExtract" in property_expression("prices", PropertyType.FLOAT64, columns)
    assert property_expression("a.b", PropertyType.STRING) == "JSONExtract(properties, 'a', 'b', 'Nullable(String)')"


def test_what_a_client_wrote_ends_no_text_of_sql() -> None:
    assert sql_text("a'b\\") == r"'a\'b\\'"
    assert property_expression("it's", PropertyType.STRING).startswith(r"JSONExtract(properties, 'it\'s'")


class Table:
    """A server that knows these columns."""

    def __init__(self, *rows: tuple[str, str]) -> None:
        self._rows = rows

    def execute(self, query: str) -> list[tuple[str, str]]:
        assert "system.columns" in query
        return list(self._rows)


def test_a_question_about_a_project_finds_its_own_columns_before_those_of_all() -> None:
    every, own, others = entry("price"), entry("price", PropertyType.STRING, "p1"), entry("size", project="p2")
    table = Table(*((each.column, each.comment) for each in (own, every, others)))
    assert materialized_properties(table) == {"price": every}
    assert materialized_properties(table, "p1") == {"price": own}
    assert materialized_properties(table, "p2") == {"price": every, "size": others}


@pytest.mark.parametrize(
    "comment", ["", "price", "materialized property", "materialized property {}", 'materialized property {"name":1}']
)
def test_a_comment_that_somebody_else_wrote_is_no_entry(comment: str) -> None:
    assert read_comment("property_price", comment) is None
    assert read_comment("property_price", entry("price").comment) == entry("price")
