"""What clients wrote is printed as text, and nothing of it acts on a terminal."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from schemas.command_line import plain
from sinks.commands.console import age, moment_ms
from sinks.commands.trace import show
from sinks.ledger.outcomes import LedgerOutcome
from sinks.ledger.trace import Sighting
from tests.sinks.records import PROJECT


@given(st.text())
def test_what_a_client_wrote_cannot_act_on_a_terminal(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert plain("[/red] :smile: \x1b]0;x\x07\n") == "[/red] :smile: \\x1b]0;x\\x07\\n"


def test_no_text_of_a_client_is_markup_or_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    show([Sighting(LedgerOutcome.STORED, PROJECT, "track 'Clicked [/nav] [bold] :smile: \x1b[31m'")])
    assert capsys.readouterr().out == f"stored (project {PROJECT}): track 'Clicked [/nav] [bold] :smile: \\x1b[31m'\n"


@pytest.mark.parametrize(
    "text",
    [
        "9999999999d",
        "9" * 5000 + "d",
        "\u00b2d",
        "1969-12-31",
        "0001-01-01",
        "9999-12-31T23:59-14:00",
        "2149-01-02",
        "soon",
        "",
    ],
)
def test_a_moment_that_the_tables_cannot_hold_is_a_wrong_option(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_ms(text)


def test_ages_are_for_people() -> None:
    ages = {3: "3 s", 60: "1 min", 7_300: "2 h", 200_000: "2 d", -5: "0 s"}
    assert {seconds: age(1_800_000_000, (1_800_000_000 - seconds) * 1000) for seconds in ages} == ages
