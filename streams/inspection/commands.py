"""`python -m streams state` and `explain`."""

from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn

import typer

from schemas import exits, keys
from schemas.codec import Codec
from schemas.registry import open_ids
from schemas.settings import Settings
from schemas.topics import STATE_TABLES, changelog_of
from schemas.whole_topic import TopicUnreadableError
from streams.inspection.explain import Event, explained
from streams.inspection.states import at, described, is_of_visitor, newest
from streams.inspection.topics import Found, find
from streams.runtime.envelope import UnreadableStateError
from streams.runtime.exits import Exit
from streams.topology import rules

NOT_FOUND: Final = 3  # there is nothing of that name


def state(
    key: Annotated[str, typer.Argument(help="Kafka key of raw_events or identity_claims, in whole")] = "",
    anonymous: Annotated[str, typer.Option(help="a visitor's anonymousId; with --project")] = "",
    project: Annotated[str, typer.Option(help="the visitor's project id")] = "",
) -> None:
    """What the workers remember of a key, or of all keys of a visitor: partition, decoded state, changelog offset.

    Reads the changelogs whole. Exit codes: 0 shown, 2 wrong options, 3 nothing there (never was, or has left), 69 Kafka
    is away, 77 a state that this release cannot read.
    """
    if bool(key) == bool(anonymous) or bool(anonymous) != bool(project):
        _end(exits.SETTINGS, "give a KEY, or --anonymous ID with --project P")
    settings = exits.settings_or_exit()
    found = _states(settings, key, anonymous, project)
    if not found:
        _end(NOT_FOUND, "no state: nothing was ever seen of it in this generation, or it has been silent and has left")
    unreadable = False
    for source, one in found:
        changelog = settings.topic(changelog_of(source, settings))
        try:
            typer.echo(described(STATE_TABLES[source], changelog, one) + "\n")
        except UnreadableStateError as error:
            unreadable = True
            typer.echo(f"{one.key!r}, partition {one.partition}, {changelog} offset {one.offset}: {error}", err=True)
    if unreadable:
        raise typer.Exit(Exit.STATE_UNREADABLE)


def explain(session_id: Annotated[str, typer.Argument(help="session_id of a row of sessions or events")]) -> None:
    """Why a session begins and ends where it does.

    Reads sessions and enriched_events whole; events that have passed the retention of the topic are not seen, and a
    generation before this one neither. Exit codes: 0 explained, 3 no such session there, 69 Kafka is away.
    """
    settings = exits.settings_or_exit()
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    wanted = session_id.lower().encode()
    codec = Codec("sessions", ids)
    records = _find(settings, "sessions", lambda _, value: value is not None and wanted in value)
    rows = sorted((codec.decode(one.value or b"") for one in records), key=lambda row: int(row["version"]))
    mine = [row for row in rows if row["session_id"] == session_id.lower()]
    if not mine:
        _end(NOT_FOUND, f"no session {session_id} in the topic sessions: there is none, or its retention has passed")
    row = mine[-1]
    typer.echo(_summary(row))
    if row["is_deleted"]:
        typer.echo(
            f"ceased: its events are in {row['absorbed_by']}, which an event in between or before made one with it"
        )
        return
    absorbed = {one["session_id"] for one in rows if one["absorbed_by"] == row["session_id"]}
    typer.echo("".join(f"absorbed {one}\n" for one in sorted(absorbed)), nl=False)
    names = {row["session_id"], *absorbed}
    for line in explained(_events(settings, names), names, rules(settings).sessions):
        typer.echo(line)


def _states(settings: Settings, key: str, anonymous: str, project: str) -> list[tuple[str, Found]]:
    """The topic whose state it is, and the changelog's record."""
    if key:
        exact = key.encode()
        return [(source, one) for source in STATE_TABLES for one in _changelog(settings, source, lambda k: k == exact)]
    sessions = _changelog(settings, "raw_events", lambda one: is_of_visitor(one, anonymous, project))
    claims = {keys.of_claim(keys.owner_of(one.key)[0], anonymous) for one in sessions}
    identities = _changelog(settings, "identity_claims", claims.__contains__) if claims else []
    return [("raw_events", one) for one in sessions] + [("identity_claims", one) for one in identities]


def _changelog(settings: Settings, source: str, wanted: Callable[[bytes], bool]) -> list[Found]:
    return newest(_find(settings, changelog_of(source, settings), lambda key, _: wanted(key)))


def _events(settings: Settings, session_ids: set[str]) -> list[Event]:
    """All events of the keys that have an event of these sessions."""
    texts = [one.encode() for one in session_ids]
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    codec = Codec("enriched_events", ids)
    having = _find(settings, "enriched_events", lambda _, value: any(text in (value or b"") for text in texts))
    owning = {one.key for one in having if codec.decode(one.value or b"")["session_id"] in session_ids}
    found = {}
    for one in _find(settings, "enriched_events", lambda key, _: key in owning):
        row = codec.decode(one.value or b"")
        place = int(row["source_partition"]), int(row["source_offset"])
        name = row["event_name"] or row["event_type"]
        found[place] = Event(round(row["timestamp"].timestamp() * 1000), name, *place, row["session_id"])
    return list(found.values())


def _summary(row: dict[str, Any]) -> str:
    lines = {
        "session": row["session_id"],
        "visitor": row["anonymous_id"] or row["user_id"],
        "project": row["project_id"],
        "client id": row["client_session_id"] or "none: cut by time alone",
        "from": at(round(row["started_at"].timestamp() * 1000)),
        "to": at(round(row["ended_at"].timestamp() * 1000)),
        "counted": f"{row['event_count']} events, {row['page_count']} pages",
    }
    return "\n".join(f"{name:10} {text}" for name, text in lines.items())


def _find(settings: Settings, topic: str, wanted: Callable[[bytes, bytes | None], bool]) -> list[Found]:
    try:
        return find(settings, topic, wanted)
    except TopicUnreadableError as error:
        _end(exits.UNREACHABLE, str(error))


def _end(code: int, why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(code)
