"""ClickHouse's error numbers: which say that a row is bad. Everything else is worth another try."""

import re
from typing import Final

from schemas.dead_letters import DETAIL_CHARS_MAX
from sinks.errors import RowsRefusedError, SinkError, ViewFailedError, WriteFailedError

# Raised while values are read, converted or checked. What is not listed is taken for trouble of the server's, since a
# wrong guess in this direction costs time and a visible alarm, one in the other direction sets good rows aside.
BAD_DATA: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        407,  # DECIMAL_OVERFLOW
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        675,  # CANNOT_PARSE_IPV4
        676,  # CANNOT_PARSE_IPV6
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
_STD_EXCEPTION: Final = 1001  # of any library; of the Avro reader it means that the bytes are no such record
_AVRO: Final = "avro::Exception"
_CODE: Final = re.compile(r"Code: (\d+)")
_ROW: Final = re.compile(r"\(at row (\d+)\)")
# The name may be quoted, and dots may stand in it; the sentence goes on with a bracket, a comma or its own dot.
_VIEW: Final = re.compile(r"while pushing to view (.+?)(?=[.,]?(?: \(|\s|$))")
_VIEW_TARGET: Final = re.compile(r"Target table '(.+?)' of view")


def from_answer(status: int, code: int, text: str) -> SinkError:
    """The error that an answer of the HTTP interface stands for; `code` 0 when the headers name none."""
    if not code and (named := _CODE.search(text)):
        code = int(named[1])
    detail = text.strip()[:DETAIL_CHARS_MAX] or f"HTTP status {status}"
    if view := _VIEW.search(text) or _VIEW_TARGET.search(text):
        # Whatever it says of data: the table itself has taken the rows, or would.
        return ViewFailedError(detail, code, view[1].replace("`", ""))  # as system.tables has it
    if code in BAD_DATA or (code == _STD_EXCEPTION and _AVRO in text):
        row = _ROW.search(text)
        return RowsRefusedError(detail, code, int(row[1]) - 1 if row else None)
    return WriteFailedError(detail, code)
