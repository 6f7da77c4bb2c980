"""`rollups`: `events_hourly` and `events_daily`, made equal to the events, compared with them, or made anew."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Annotated

import typer

from sinks.commands.console import console, database, moment_ms, plain
from sinks.rollups.buckets import Bucket, RollupTables, day_of, days_of, windows
from sinks.rollups.refresh import Refresher

EXIT_DIFFERS = 1
_NAMED_MAX = 50
_HOUR_S = 3_600
Span = tuple[date, date] | None
app = typer.Typer(no_args_is_help=True, help="Hourly and daily roll-ups of the events.")
From = Annotated[str | None, typer.Option("--from", help="the first day (UTC): 2026-11-01, or 7d ago")]
To = Annotated[str | None, typer.Option("--to", help="the last day, as --from; default: today")]


@app.command()
def refresh(begin: From = None, end: To = None) -> None:
    """Make the roll-ups equal to the events wherever they differ, by default on all days; safe to interrupt."""
    with _opened(begin, end, default_days=None) as (tables, span):
        tables.drop_leftovers()
        refresher = Refresher(tables, time.monotonic)
        buckets = kept = 0
        for first, last in () if (opened := _open(tables, span)) is None else windows(*opened, tables.window_days()):
            done = refresher.refresh(first, last)
            buckets, kept = buckets + done.buckets, kept + done.kept
            console.print(f"{first} to {last}: {done.buckets} buckets computed anew", style="dim")
    console.print(f"{buckets} buckets differed and were computed anew" + _kept(kept))


@app.command()
def check(begin: From = None, end: To = None) -> None:
    """Compare everything in the roll-ups with the events, changing nothing. Exits 1 and names the buckets that differ.

    Default: the last seven days, without this hour, in which events come all the time.
    """
    with _opened(begin, end, default_days=7) as (tables, span):
        before = None if end is not None else int(time.time()) // _HOUR_S * _HOUR_S
        checked, wrong = 0, list[tuple[str, Bucket]]()
        for day in _open_days(tables, span):
            wrong += [("events_hourly", bucket) for bucket in tables.wrong_hours(day)]
            wrong += [("events_daily", bucket) for bucket in tables.wrong_days(day)]
            checked += 1
    wrong = [
        (table, bucket) for table, bucket in wrong if table == "events_daily" or before is None or bucket.start < before
    ]
    for table, bucket in wrong[:_NAMED_MAX]:
        console.print(f"{table}: {plain(str(bucket))}")
    console.print(f"{checked} days compared, {len(wrong)} buckets differ")
    if wrong:
        console.print("`refresh` computes those anew whose numbers differ; `rebuild` also others")
        raise typer.Exit(EXIT_DIFFERS)


@app.command()
def rebuild(
    begin: Annotated[str, typer.Option("--from", help="the first day (UTC): 2026-11-01, or 7d ago")],
    end: To = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what would be done")] = False,
) -> None:
    """Compute days anew from the events, whether they differ or not: after rows were updated in place.

    Days whose events may have expired, and months without any event, are left as they are.
    """
    with _opened(begin, end, default_days=None) as (tables, span):
        days = [day for day in _open_days(tables, span) if tables.month_has_events(day)]
        for day in days:
            change = sum(bucket.events - bucket.rolled_up for bucket in tables.differing(day, day))
            if yes:
                tables.replace_hours(day, None)
                tables.replace_day(day)
            if change or yes:
                console.print(f"{day}: {'computed anew' if yes else 'would change'}, {change:+} events", style="dim")
    console.print(f"{len(days)} days {'computed anew' if yes else 'would be computed anew; add --yes to do it'}")


@contextmanager
def _opened(begin: str | None, end: str | None, default_days: int | None) -> Iterator[tuple[RollupTables, Span]]:
    """The tables, and the days that are meant, as far as there is anything in them."""
    first = None if begin is None else day_of(moment_ms(begin) / 1000)
    last = None if end is None else day_of(moment_ms(end) / 1000)
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")
    with database() as (_, reader):
        there = reader.rollups.span()
        if there is None:
            yield reader.rollups, None
            return
        if first is None:
            first = there[0] if default_days is None else day_of(time.time()) - timedelta(days=default_days)
        yield reader.rollups, (max(first, there[0]), min(last or there[1], there[1]))


def _open(tables: RollupTables, span: Span) -> Span:
    """The part of a span whose events are all there still."""
    opened = tables.open_from()
    if span is None or opened is None or opened <= span[0]:
        return span
    console.print(f"before {opened} events may have expired: left as it is", style="dim")
    return (opened, span[1]) if opened <= span[1] else None


def _open_days(tables: RollupTables, span: Span) -> Iterator[date]:
    """The days of it, the newest first."""
    return iter(()) if (opened := _open(tables, span)) is None else days_of(*opened)


def _kept(buckets: int) -> str:
    return f"; {buckets} kept, as no event of their month is there any more" if buckets else ""
