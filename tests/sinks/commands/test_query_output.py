"""Answers on their way to a terminal, a pipe or a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.commands.query_output import Destination, destination, write, write_table
from sinks.errors import ReadFailedError
from sinks.query.answers import Form
from sinks.query.errors import QuestionError


def broken() -> Iterator[bytes]:
    """An answer whose connection is lost."""
    yield b'["a"]\n[1]\n'
    raise ReadFailedError("gone")


def put(pieces: Iterator[bytes], target: Destination) -> None:
    """As the command does."""
    if target.form is Form.TABLE:
        write_table(pieces, target, 100)
    else:
        write(pieces, target)


@pytest.mark.parametrize("form", [Form.CSV, Form.TABLE])
def test_an_answer_that_breaks_off_leaves_no_file_and_an_old_one_as_it_was(tmp_path: Path, form: Form) -> None:
    old = tmp_path / "old"
    old.write_text("mine")
    for path in (old, tmp_path / "new"):
        with pytest.raises(ReadFailedError):
            put(broken(), Destination(form, path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "mine"}


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new"

    def watched() -> Iterator[bytes]:
        yield b"a"
        assert not path.exists()
        yield b"b"

    write(watched(), Destination(Form.CSV, path))
    assert path.read_bytes() == b"ab"


def test_a_file_that_exists_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "there.csv"
    path.touch()
    with pytest.raises(QuestionError, match="exists; --force"):
        destination(None, path, force=False)
    assert destination(None, path, force=True) == Destination(Form.CSV, path)


def test_a_table_reads_no_further_than_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    read = []

    def endless() -> Iterator[bytes]:
        yield b'["number"]\n'
        number = 0
        while True:
            read.append(number)
            yield f"[{number}]\n".encode()
            number += 1

    write_table(endless(), Destination(Form.TABLE, None), 3)
    assert read == [0, 1, 2, 3]
    assert "only the first 3 rows" in capsys.readouterr().err


def test_lines_may_be_cut_anywhere_and_nothing_of_them_acts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    answer = '["name", "value"]\n["[bold]\\u001b[31mä", null]\n[true, 1.5]\n'.encode()
    write_table((answer[n : n + 1] for n in range(len(answer))), Destination(Form.TABLE, None), 10)
    shown = capsys.readouterr().out
    assert "[bold]\\x1b[31mä" in shown
    assert "true" in shown
    assert "1.5" in shown
