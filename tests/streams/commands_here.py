"""Commands of `python -m streams` in the test's own process: a process of theirs is a second of imports each time."""

import os

from typer.testing import CliRunner, Result

from schemas.settings import Settings, to_environ
from streams.__main__ import app


def ask_here(settings: Settings, *arguments: str) -> Result:
    """What it ended with and said, with these settings and no others."""
    nothing = dict.fromkeys(name for name in os.environ if name.startswith("TALLY_"))
    return CliRunner().invoke(app, list(arguments), env=nothing | to_environ(settings))
