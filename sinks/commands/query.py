"""`query`: the query pack, a command for each file of `sinks/query/sql`."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from schemas.command_line import plain
from schemas.exits import SETTINGS, settings_or_exit
from schemas.properties import property_keys
from sinks.commands.console import EXIT_UNREACHABLE, console
from sinks.commands.query_output import Destination, destination, write, write_table
from sinks.database import open_answers
from sinks.errors import ReadFailedError, TableUnfitError
from sinks.query.answers import Form
from sinks.query.ask import BEGIN, NO_PROJECT, SAMPLE_EVENTS, Asked, question, sample_of_properties
from sinks.query.catalog import Option, Query, queries
from sinks.query.errors import QuestionError
from sinks.query.persons import find_person
from sinks.query.pieces import FILTER_FORM, PEOPLE
from sinks.query.projects import find_project, properties_with_columns

EXIT_UNFIT: Final = 3
EXIT_UNWRITTEN: Final = 1
_ANSWER_S: Final = 600.0
_ROWS: Final = 200
_ROWS_MAX: Final = 10_000_000
_NAMED: Final = 20
_OWN: Final = "own_"  # before the names of a query's own options: from and return are words of Python

app = typer.Typer(invoke_without_command=True, help="Ask the tables: funnels, retention, paths … Alone: what there is.")


@app.callback()
def overview(context: typer.Context) -> None:
    """Ask the tables a question of the query pack; without a name: list them."""
    if context.invoked_subcommand is None:
        table = Table("query", "answers", box=None, pad_edge=False)
        for query in queries().values():
            table.add_row(query.name, query.question)
        console.print(table)
        console.print("python -m sinks query NAME --help has the options of one.", style="dim")


def _command(query: Query) -> Callable[..., None]:
    """The command of a query: the options that all have, and its own."""

    def command(
        project: Annotated[str, typer.Option(help="project id, or name: python -m collector projects list")],
        begin: Annotated[str, typer.Option("--from", help="a date, a time, or 30m, 6h, 7d ago")] = BEGIN,
        end: Annotated[str, typer.Option("--to", help="up to this time, or the end of this date")] = "now",
        tz: Annotated[str, typer.Option("--tz", help="zone of dates and days: Asia/Kolkata")] = "UTC",
        people: Annotated[
            str, typer.Option(help="users: all visitors of a user are one; visitors: as browsers are, faster")
        ] = PEOPLE[0],
        where: Annotated[
            list[str] | None, typer.Option(help=f"only what fits; repeat it for several that all hold: {FILTER_FORM}")
        ] = None,
        robots: Annotated[bool, typer.Option("--robots", help="robots too")] = False,
        form: Annotated[
            Form | None, typer.Option("--format", help="table, if the name of --output does not say another")
        ] = None,
        output: Annotated[Path | None, typer.Option(help="into this file")] = None,
        force: Annotated[bool, typer.Option("--force", help="also if the file exists")] = False,
        rows: Annotated[int, typer.Option(min=1, max=_ROWS_MAX, help="so many rows of a table at most")] = _ROWS,
        show_sql: Annotated[bool, typer.Option("--show-sql", help="print the SQL, for Grafana and others")] = False,
        **own: str | list[str] | None,
    ) -> None:
        given = {name.removeprefix(_OWN): _as_list(value) for name, value in own.items()}
        asked = Asked(begin, end, tz, people, where or (), robots, given)
        with _told():
            _ask(query, project, asked, None if show_sql else destination(form, output, force=force), rows)

    signature = Signature.from_callable(command)
    kept = [one for one in signature.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    has = {"begin": query.has_begin, "people": query.counts_people, "robots": query.knows_robots}
    absent = {name for name, there in has.items() if not there}
    mine = [_parameter(option) for option in query.options]
    shared = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in kept if one.name not in absent]
    command.__dict__["__signature__"] = Signature([*mine, *shared])
    return command


def _parameter(option: Option) -> Parameter:
    about = option.about if not option.choices else f"{option.about}: {', '.join(option.choices)}"
    about += f" (up to {option.most:,})" if option.most else ""
    info = typer.Option(f"--{option.name}", help=about, metavar=option.kind.value)
    kind: object = list[str] | None if option.many else str | None
    if option.required:
        kind = list[str] if option.many else str
    return Parameter(
        f"{_OWN}{option.name}",
        Parameter.KEYWORD_ONLY,
        default=_default(option),
        annotation=Annotated[kind, info],
    )


def _default(option: Option) -> object:
    if option.required:
        return Parameter.empty
    if not option.default:
        return None
    return [option.default] if option.many else option.default


def _as_list(value: str | list[str] | None) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or ()


for _query in queries().values():
    app.command(_query.name, help=f"{_query.question}\n\n{_query.about}")(_command(_query))


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong, in a line, and the exit code that says whose it is."""
    try:
        yield
    except QuestionError as error:
        typer.echo(f"--{error.option}: {plain(str(error))}", err=True)
        raise typer.Exit(SETTINGS) from None
    except TableUnfitError as error:
        typer.echo(f"{plain(error.detail)}\nrun python -m schemas apply", err=True)
        raise typer.Exit(EXIT_UNFIT) from None
    except ReadFailedError as error:
        typer.echo(f"cannot be read: {plain(str(error))}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except BrokenPipeError:
        # Who reads has enough, as `| head` has; Python would complain once more when it flushes at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        typer.echo(f"cannot be written: {error}", err=True)
        raise typer.Exit(EXIT_UNWRITTEN) from None


def _ask(query: Query, project_name: str, asked: Asked, target: Destination | None, rows: int) -> None:
    """target: None prints the SQL instead."""
    # Wrong options are told before anything is looked for.
    properties = question(query, asked, NO_PROJECT, datetime.now(UTC)).properties
    answers = open_answers(settings_or_exit(), _ANSWER_S)
    project = find_project(answers, project_name)
    user = find_person(answers, query, asked, project)
    source = question(query, asked, project, datetime.now(UTC), user=user).source
    columns = properties_with_columns(answers, project, source) if properties else {}
    wanted = question(query, asked, project, datetime.now(UTC), columns, user)
    if target is None:
        typer.echo(f"{wanted.statement.pasted()};")
        return
    if properties:
        _warn(properties, [name for name, _ in answers.rows(sample_of_properties(project, wanted.range))])
    with closing(answers.stream(wanted.statement, target.form)) as pieces:
        if target.form is Form.TABLE:
            write_table(pieces, target, rows)
        else:
            write(pieces, target)


def _warn(properties: Sequence[str], there: Sequence[str]) -> None:
    """Say which properties the newest events of the range do not have, and which they have."""
    for name in properties:
        if property_keys(name)[0] not in there:
            named = ", ".join(there[:_NAMED]) + (" …" if len(there) > _NAMED else "") or "none at all"
            typer.echo(
                f"no property {plain(name)!r} in the newest {SAMPLE_EVENTS:,} events of the range; there are "
                f"{plain(named)}",
                err=True,
            )
