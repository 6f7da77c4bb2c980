"""What people type and read: an argument that is no text is refused, a client's text cannot act on a terminal."""

from typing import Final

import typer
from typer._click.core import Context  # what typer.core takes, from nowhere else
from typer.core import TyperGroup

_WRONG: Final = 2  # as click ends for every wrong option


def plain(text: str) -> str:
    """A text that a client wrote, for a terminal: control characters, which would act on it, are shown as escapes."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class Commands(TyperGroup):
    """The commands of a program: `typer.Typer(cls=Commands)`. An argument that is not UTF-8 ends it in one line."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Of click. Raises typer.Exit."""
        for text in args:
            # Bytes that are no UTF-8 come from the system as halves of surrogate pairs, which nothing can send on.
            if any("\ud800" <= sign <= "\udfff" for sign in text):
                typer.echo(f"not UTF-8: {plain(text)}; type it in UTF-8", err=True)
                raise typer.Exit(_WRONG)
        return super().parse_args(ctx, args)
