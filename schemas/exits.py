"""With what processes and commands end where all of them do so alike; what is of one alone stands beside it.

From 64 on the numbers are those of sysexits.h where it has the meaning.
"""

from typing import Final

import typer

from schemas.settings import Settings, SettingsError, load

SETTINGS: Final = 2  # a wrong setting or option, named on standard error: starting it again helps nothing
UNREACHABLE: Final = 69  # Kafka or the registry is away; nothing is wrong here: a supervisor starts it again


def settings_or_exit() -> Settings:
    """The settings of the environment; ends with `SETTINGS` and all that is wrong with them."""
    try:
        return load()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(SETTINGS) from None
