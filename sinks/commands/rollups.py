"""`rollups`: `events_hourly` and `events_daily`, made equal to the events, compared with them, or made anew."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Annotated

import typer

from schemas.command_line import plain
from sinks.commands.console import console, database, moment_ms
from sinks.rollups.buckets import HOUR_S, RollupTables, day_of, days_of, windows
from sinks.rollups.refresh import Refresher

EXIT_DIFFERS = 1
_NAMED_MAX = 50
_KEPT = "are kept; `refresh --remove-empty` lists them"
Span = tuple[date, date] | None
app = typer.Typer(no_args_is_help=True, help="Hourly and daily roll-ups of the events.")
From = Annotated[str | None, typer.Option("--from", help="the first day (UTC): 2026-11-01, or 7d ago")]
To = Annotated[str | None, typer.Option("--to", help="the last day, as --from; default: today")]


@app.command()
def refresh(
    begin: From = None,
    end: To = None,
    remove_empty: Annotated[
        bool, typer.Option("--remove-empty", help="also remove what has no event any more; without --yes only list it")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; only with --remove-empty")] = False,
) -> None:
    """Make the roll-ups equal to the events wherever they differ, by default on all days; safe to interrupt.

    Buckets that have no event any more are kept, as their events may have been dropped with a partition.
    """
    if yes and not remove_empty:
        raise typer.BadParameter("--yes is for --remove-empty")
    with _opened(begin, end, default_days=None) as (tables, span, _):
        tables.drop_leftovers()
        refresher = Refresher(tables, time.monotonic)
        computed = emptied = 0
        is_dry_run = remove_empty and not yes
        for first, last in () if (opened := _open(tables, span)) is None else windows(*opened, tables.window_days()):
            if not is_dry_run:
                done = refresher.refresh(first, last)
                computed += done.buckets
                console.print(f"{first} to {last}: {done.buckets} buckets computed anew", style="dim")
            for each in tables.emptied(first, last):
                emptied += each.buckets
                if remove_empty:
                    console.print(str(each))
                if yes:
                    tables.replace_hours(each.day, None)
                    tables.replace_day(each.day, remove_empty=True)
    if not is_dry_run:
        console.print(f"{computed} buckets differed and were computed anew")
    if emptied or remove_empty:
        how = "were removed" if yes else "would be removed; add --yes to do it" if remove_empty else _KEPT
        console.print(f"{emptied} buckets without any event {how}")


@app.command()
def check(begin: From = None, end: To = None) -> None:
    """Compare everything in the roll-ups with the events, changing nothing. Exits 1 if any differ; names 50 at most.

    Default: the last seven days, without this hour, and without hours that got events within one interval of the
    roll-ups. With --to these are compared too. Of a day, 10,000 buckets at most are counted.
    """
    with _opened(begin, end, default_days=7) as (tables, span, interval_s):
        now = int(time.time())
        checked = wrong = emptied = 0
        for day in _open_days(tables, span):
            hours = tables.wrong_hours(day, None if end is not None else now - interval_s)
            named = [
                ("events_hourly", each) for each in hours if end is not None or each.start < now // HOUR_S * HOUR_S
            ]
            named += [("events_daily", each) for each in tables.wrong_days(day)]
            for table, bucket in named[: max(0, _NAMED_MAX - wrong)]:
                console.print(f"{table}: {plain(str(bucket))}")
            wrong += len(named)
            emptied += sum(each.buckets for each in tables.emptied(day, day))
            checked += 1
    console.print(f"{checked} days compared, {wrong} buckets differ")
    if end is None:
        console.print(f"left out: this hour, and hours that got events within the last {interval_s} s", style="dim")
    if emptied:
        console.print(f"{emptied} buckets without any event {_KEPT}")
    if wrong:
        console.print("`refresh` computes those anew whose numbers differ; `rebuild` also others")
        raise typer.Exit(EXIT_DIFFERS)


@app.command()
def rebuild(
    begin: Annotated[str, typer.Option("--from", help="the first day (UTC): 2026-11-01, or 7d ago")],
    end: To = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what would be done")] = False,
) -> None:
    """Compute days anew from the events, whether they differ or not: after rows were updated in place or erased.

    What has no event any more goes too. Days whose events may have expired are left as they are.
    """
    with _opened(begin, end, default_days=None) as (tables, span, _):
        days = 0
        for day in _open_days(tables, span):
            change = sum(bucket.events - bucket.rolled_up for bucket in tables.differing(day, day))
            gone = tables.emptied(day, day)
            change -= sum(each.rolled_up for each in gone)
            if yes:
                tables.replace_hours(day, None)
                tables.replace_day(day, remove_empty=True)
            if change or gone or yes:
                console.print(f"{day}: {'computed anew' if yes else 'would change'}, {change:+} events", style="dim")
            for each in gone:
                console.print(f"{each}: {'removed' if yes else 'would be removed'}")
            days += 1
    console.print(f"{days} days {'computed anew' if yes else 'would be computed anew; add --yes to do it'}")


@contextmanager
def _opened(begin: str | None, end: str | None, default_days: int | None) -> Iterator[tuple[RollupTables, Span, int]]:
    """The tables, the days that are meant, as far as there is anything in them, and the interval (s) of a round."""
    first = None if begin is None else day_of(moment_ms(begin) / 1000)
    last = None if end is None else day_of(moment_ms(end) / 1000)
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")
    with database() as (settings, reader):
        interval_s = settings.sinks_rollups_interval_s
        there = reader.rollups.span()
        if there is None:
            yield reader.rollups, None, interval_s
            return
        if first is None:
            first = there[0] if default_days is None else day_of(time.time()) - timedelta(days=default_days)
        yield reader.rollups, (max(first, there[0]), min(last or there[1], there[1])), interval_s


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
