"""How a database, or whoever asks it, says that a write cannot be done.

SinkError
├── TableUnfitError          the table is not what the contract says; somebody has to act. Ends the process at start
├── WriteFailedError         the database is away, busy or confused: the same write is tried again, for ever
│   ├── ViewFailedError      a view that fills from the table fails: the rows may stand, or some of them, or none
│   └── TopicStoppedError    the same until somebody acts; `cause` says what for
└── RowsRefusedError         the database says the rows themselves are wrong: never tried again as they are

None of them says that nothing was written: only the table can. Who only asks gets a ReadFailedError.
"""


class SinkError(Exception):
    """`retryable`: whether the same call may succeed later. `code`: the database's own number, 0 when it has none."""

    retryable = False

    def __init__(self, detail: str, code: int = 0) -> None:
        self.detail = detail
        self.code = code
        super().__init__(f"{detail} (code {code})" if code else detail)


class TableUnfitError(SinkError):
    """There is no such table, or it lacks columns or the deduplication that the promise rests on."""


class WriteFailedError(SinkError):
    """Nothing is known of what became of the rows."""

    retryable = True


class ViewFailedError(WriteFailedError):
    """A view that fills from the table fails. `view`: its name, or its missing target's."""

    def __init__(self, detail: str, code: int, view: str) -> None:
        self.view = view
        super().__init__(detail, code)


class TopicStoppedError(WriteFailedError):
    """Every further try would do harm until somebody acts. `cause`: from a bounded set, for the metric.

    `drift`: as the writer told it, when that is the cause; else "".
    """

    def __init__(self, cause: str, detail: str, drift: str = "") -> None:
        self.cause = cause
        self.drift = drift
        super().__init__(detail)


class RowsRefusedError(SinkError):
    """The database calls the rows wrong. `row`: index of the one it names; None when it names none."""

    def __init__(self, detail: str, code: int = 0, row: int | None = None) -> None:
        self.row = row
        super().__init__(detail, code)


class ReadFailedError(RuntimeError):
    """Kafka or the database cannot be read; the message says which. What was not read is not gone."""
