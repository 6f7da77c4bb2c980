"""What the commands share: how they reach Kafka and the database, and how they print what clients wrote."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import typer
from confluent_kafka import KafkaException
from rich.console import Console

from schemas.exits import settings_or_exit
from schemas.registry import RegistryUnavailableError, open_ids
from schemas.settings import Settings
from sinks.database import Reader, open_reader
from sinks.errors import ReadFailedError
from sinks.ledger.kafka import KafkaTopics

EXIT_UNREACHABLE = 4
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LAST_MS = int(datetime(2149, 1, 1, tzinfo=UTC).timestamp()) * 1000
_SHOWN = 60
PIPE_COLUMNS = 10_000
# A pipe has no width: a table for a program or a log is never cut. What clients sent is shown as it is: no
# text of theirs is markup or an emoji's name.
console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, markup=False, emoji=False, highlight=False)


@contextmanager
def database() -> Iterator[tuple[Settings, Reader]]:
    """Settings and tables; what cannot be reached ends the command with its name."""
    settings = settings_or_exit()
    reader = open_reader(settings)
    try:
        yield settings, reader
    except RegistryUnavailableError as error:
        typer.echo(f"{error}; try again when it is back", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except (ReadFailedError, KafkaException, EOFError, OSError) as error:
        typer.echo(f"cannot be read: {error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    finally:
        reader.close()


@contextmanager
def sources() -> Iterator[tuple[Settings, Reader, KafkaTopics]]:
    """The same, and topics."""
    with database() as (settings, reader):
        topics = KafkaTopics(settings, open_ids(settings.schema_registry_url, settings.topic_prefix))
        try:
            yield settings, reader, topics
        finally:
            topics.close()


def moment_ms(text: str) -> int:
    """Milliseconds since 1970 of `30m`, `6h`, `2d` ago or an ISO time, up to 2149. Raises typer.BadParameter."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit():
            then = datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        else:
            then = datetime.fromisoformat(text)
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
        then_ms = int(then.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text[:_SHOWN]!r} is neither like 30m, 6h, 2d nor an ISO time") from None
    if not 0 <= then_ms <= _LAST_MS:
        raise typer.BadParameter(f"{text!r} is not between 1970 and 2149, which is what the tables hold")
    return then_ms


def age(now_s: float, then_ms: int) -> str:
    """How long ago, for people; seconds and milliseconds since 1970."""
    seconds = int(now_s - then_ms / 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"
