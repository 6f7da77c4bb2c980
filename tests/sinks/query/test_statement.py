"""How values leave: beside the SQL, or as literals in it."""

from datetime import UTC, datetime

from sinks.query.statement import Statement

TEXT = "it's a \\ tab\t{x:String}\n"
STATEMENT = Statement(
    "SELECT {text:String}, {texts:Array(String)}, {numbers:Array(UInt32)}, {number:UInt32}, {yes:Bool}, "
    "{at:DateTime64(3, 'UTC')}",
    {
        "text": TEXT,
        "texts": [TEXT, "b"],
        "numbers": [1, 2],
        "number": 3,
        "yes": True,
        "at": datetime(2026, 3, 29, 1, 2, 3, 4_000, tzinfo=UTC),
        "unused": "x",
    },
)


def test_a_text_is_sent_as_a_field_of_tab_separated_text_and_a_list_as_its_literal() -> None:
    assert STATEMENT.sent() == {
        "text": "it's a \\\\ tab\\t{x:String}\\n",
        "texts": "['it\\'s a \\\\ tab\\t{x:String}\\n', 'b']",
        "numbers": "[1, 2]",
        "number": "3",
        "yes": "true",
        "at": "2026-03-29 01:02:03.004",
    }


def test_a_pasted_text_ends_where_it_ends() -> None:
    quoted = "'it\\'s a \\\\ tab\\t{x:String}\\n'"
    assert STATEMENT.pasted() == (
        f"SELECT {quoted}, CAST([{quoted}, 'b'], 'Array(String)'), CAST([1, 2], 'Array(UInt32)'), CAST(3, 'UInt32'), "
        "true, toDateTime64('2026-03-29 01:02:03.004', 3, 'UTC')"
    )
