"""Arguments that are no text are told in one line, by every program."""

import pytest
import typer
from typer.testing import CliRunner

from collector.__main__ import app as collector
from schemas.__main__ import app as schemas
from sinks.__main__ import app as sinks
from streams.__main__ import app as streams

BYTE = "x\udcff"  # as the system hands on the byte FF


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (sinks, ["query", "pages", "--project", BYTE]),
        (sinks, ["query", "history", "--project", "p", "--person", BYTE]),
        (sinks, ["query", "pages", "--project", "p", "--where", f"page={BYTE}"]),
        (sinks, ["trace", BYTE]),
        (sinks, [BYTE]),
        (schemas, ["materialize", "--property", BYTE]),
        (collector, ["projects", BYTE]),
        (streams, ["identities", BYTE]),
    ],
)
def test_an_argument_that_is_not_utf_8_is_told_in_one_line(app: typer.Typer, words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert [line for line in result.stderr.splitlines() if line] == [
        "not UTF-8: " + f"{words[-1]}; type it in UTF-8".replace(BYTE, "x\\udcff")
    ]
