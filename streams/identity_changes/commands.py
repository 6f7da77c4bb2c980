"""`python -m streams identities explain | link | unlink`."""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from schemas import exits
from schemas.codec import Codec
from schemas.registry import RegistryUnavailableError, open_ids
from schemas.settings import Settings
from streams.identity_changes.links import Change, Pair, at, explained, linked, problem_of, unlinked
from streams.identity_changes.stored import (
    AwayError,
    Owner,
    ProjectUnknownError,
    connected,
    events_of,
    known_of,
    owner_of,
    person_of,
    publish,
    store,
)

if TYPE_CHECKING:
    from clickhouse_driver import Client

NOT_FOUND: Final = 3  # there is nothing of that name
_REASON_CHARS_MAX: Final = 1_000

identities = typer.Typer(no_args_is_help=True, help="Who is who, and why; links made and taken back by hand.")

Project = Annotated[str, typer.Option(help="project id; links are those of its tenant")]
Visitor = Annotated[str, typer.Option(help="anonymousId; with --alias, the user's former id")]
User = Annotated[str, typer.Option(help="userId")]
Reason = Annotated[str, typer.Option(help="why; kept with the change")]
By = Annotated[str, typer.Option(help="who does it; absent: the user name of this machine")]
Apply = Annotated[bool, typer.Option("--apply", help="do it; without, only say what would change")]


@identities.command()
def explain(project: Project, visitor: Visitor = "", user: User = "") -> None:
    """Who a visitor or user is: by which links, since when, and what was taken back by whom.

    Exit codes: 0 shown, 2 wrong options or no such project, 3 nothing is known of the id, 69 ClickHouse is away.
    """
    if bool(visitor) == bool(user):
        _end(exits.SETTINGS, "give --visitor or --user")
    with _opened(project) as (_, client, owner):
        known = known_of(client, owner.tenant_id, [visitor or user])
        seen = events_of(client, owner.tenant_id, Pair(visitor, user))[0 if visitor else 1]
        if not (known.claimed or known.changes or seen):
            _end(NOT_FOUND, f"nothing is known of {visitor or user!r} in this tenant: no link, no event")
        named = {visitor or user, *(pair.user_id for pair in known.current)}
        persons = {one: person_of(client, owner.tenant_id, one) for one in named if one}
        for one, person in sorted(persons.items()):
            if person != one:
                typer.echo(f"{one} is {person} today, by aliases")
        for line in explained(known):
            typer.echo(line)
        if not known.current:
            typer.echo(f"{visitor or user}: linked to nobody; {seen} events")


@identities.command()
def unlink(project: Project, visitor: Visitor, user: User, reason: Reason, by: By = "", apply: Apply = False) -> None:
    """Take a link or an alias back: all that was claimed of it until now counts no more, in every view, at once.

    A later event that claims it links the two again. Exit codes: 0 done or shown, 2 wrong options, 3 there is no such
    link, 69 Kafka or ClickHouse is away: nothing is changed then, or the topic has it and the same command finishes it.
    """
    pair = Pair(visitor, user)
    with _opened(project) as (settings, client, owner):
        known = known_of(client, owner.tenant_id, pair)
        if pair not in known.current:
            others = "\n".join(explained(known)) or "nothing is known of either id in this tenant"
            _end(NOT_FOUND, f"{visitor!r} is not linked to {user!r}:\n{others}")
        change = unlinked(pair, _now_ms(), by=_who(by), why=_why(reason), known=known)
        anonymous, _ = events_of(client, owner.tenant_id, pair)
        rest = sorted(other.user_id for other in known.current if other.anonymous_id == visitor and other != pair)
        whose = f"those of {', '.join(rest)}" if rest else "nobody's"
        typer.echo(f"{visitor} → {user}: linked since {at(known.current[pair])}, taken back at {at(change.changed_ms)}")
        typer.echo(f"{anonymous} events of {visitor} bear no user: those of {user} among them become {whose}")
        _carry_out(settings, client, owner, change, apply)


@identities.command()
def link(
    project: Project,
    visitor: Visitor,
    user: User,
    reason: Reason,
    since: Annotated[str, typer.Option(help="ISO time from which it counts; absent: from now")] = "",
    alias: Annotated[bool, typer.Option(help="both are user ids of one person")] = False,
    by: By = "",
    apply: Apply = False,
) -> None:
    """Link a visitor to a user, or, with --alias, a user's former id to the one it goes by.

    Exit codes: 0 done or shown, 2 wrong options or an id that names nobody, 3 no event or link has either id, 69 Kafka
    or ClickHouse is away.
    """
    pair, since_ms = Pair(visitor, user), _moment_ms(since)
    with _opened(project) as (settings, client, owner):
        if problem := problem_of(pair, owner.placeholders):
            _end(exits.SETTINGS, problem)
        known = known_of(client, owner.tenant_id, pair)
        seen = {pair.anonymous_id for pair in known.current} | {pair.user_id for pair in known.current}
        anonymous, _ = events_of(client, owner.tenant_id, pair)
        if visitor not in seen and not (anonymous or events_of(client, owner.tenant_id, Pair("", visitor))[1]):
            _end(NOT_FOUND, f"nothing is known of {visitor!r} in this tenant: no link, no event")
        change = linked(pair, _now_ms(), since_ms, alias=alias, by=_who(by), why=_why(reason), known=known)
        typer.echo(f"{visitor} → {user}: {'alias' if alias else 'linked'} from {at(change.first_linked_ms)}")
        typer.echo(f"{anonymous} events of {visitor} bear no user")
        _carry_out(settings, client, owner, change, apply)


def _carry_out(settings: Settings, client: "Client", owner: Owner, change: Change, apply: bool) -> None:
    """Topic first: what only the table had would be gone when it is filled anew."""
    if not apply:
        typer.echo("nothing changed: --apply does it")
        return
    codec = Codec("identity_changes", open_ids(settings.schema_registry_url, settings.topic_prefix))
    publish(settings, codec, owner.tenant_id, change)
    store(client, owner.tenant_id, change)
    typer.echo(f"done, by {change.changed_by}: {change.reason}")


@contextmanager
def _opened(project: str) -> Iterator[tuple[Settings, "Client", Owner]]:
    settings = exits.settings_or_exit()
    try:
        with connected(settings) as client:
            yield settings, client, owner_of(client, project)
    except ProjectUnknownError as error:
        _end(exits.SETTINGS, str(error))
    except (AwayError, RegistryUnavailableError) as error:
        _end(exits.UNREACHABLE, str(error))


def _why(reason: str) -> str:
    if not 0 < len(reason.strip()) <= _REASON_CHARS_MAX:
        _end(exits.SETTINGS, f"--reason has 1 to {_REASON_CHARS_MAX} characters: who reads it later wants to know why")
    return reason.strip()


def _who(by: str) -> str:
    try:
        return by.strip() or getpass.getuser()
    except (KeyError, OSError):
        _end(exits.SETTINGS, "this machine does not tell who you are: give --by NAME")


def _moment_ms(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _end(exits.SETTINGS, f"--since {text!r} is no ISO time, such as 2026-11-30T12:00")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _end(code: int, why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(code)
