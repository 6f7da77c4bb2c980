"""What an answer of ClickHouse means, in one place."""

import pytest

from sinks.clickhouse.errors import BAD_DATA, from_answer
from sinks.errors import RowsRefusedError, ViewFailedError, WriteFailedError

UUID = "Code: 376. DB::Exception: Cannot parse uuid nope: (at row 4)\n: While executing AvroRowInputFormat."
AVRO = "std::exception. Code: 1001, type: avro::Exception, e.what() = EOF reached (version 26.7.2.1)"


def test_bad_data_names_its_row_from_zero() -> None:
    error = from_answer(400, 376, UUID)
    assert isinstance(error, RowsRefusedError)
    assert (error.code, error.row, error.retryable) == (376, 3, False)


def test_the_code_is_read_from_the_text_when_no_header_has_it() -> None:
    assert isinstance(from_answer(400, 0, UUID), RowsRefusedError)


def test_what_the_avro_reader_throws_is_bad_data_other_library_exceptions_are_not() -> None:
    assert isinstance(from_answer(500, 1001, AVRO), RowsRefusedError)
    assert isinstance(from_answer(500, 1001, "std::exception. Code: 1001, type: std::bad_alloc"), WriteFailedError)


@pytest.mark.parametrize("code", [6, 27, 53, 117])
def test_parse_and_type_errors_are_bad_data(code: int) -> None:
    assert code in BAD_DATA
    assert isinstance(from_answer(400, code, ""), RowsRefusedError)


@pytest.mark.parametrize("code", [60, 81, 159, 164, 202, 209, 210, 241, 242, 252, 285, 319, 425, 497, 516, 999, 12345])
def test_everything_else_is_tried_again(code: int) -> None:
    error = from_answer(500, code, "trouble")
    assert isinstance(error, WriteFailedError)
    assert error.retryable


def test_an_answer_without_any_text_says_at_least_its_status() -> None:
    assert from_answer(502, 0, "").detail == "HTTP status 502"


@pytest.mark.parametrize("code", [6, 53, 241, 395])
@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("Code: {}. DB::Exception: Cannot parse: while pushing to view tally.by_day (0c1d2e3f).", "tally.by_day"),
        ("Code: {}. DB::Exception: broken: while pushing to view `by.day`, after 3 rows", "by.day"),
        ("Code: {}. DB::Exception: Target table 'tally.days' of view 'tally.by_day' doesn't exist.", "tally.days"),
    ],
)
def test_what_a_view_says_of_data_is_no_fault_of_the_rows(code: int, text: str, view: str) -> None:
    error = from_answer(500, code, text.format(code))
    assert isinstance(error, ViewFailedError)
    assert (error.code, error.view) == (code, view)
