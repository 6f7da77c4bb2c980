"""User agent text → why it is a robot's, if it is.

Robots are labelled, never dropped, and only when they say so themselves: a wrong label hides a person from reports.
The list is that of the package crawler-user-agents, or a file of the same shape: `[{"pattern": regex, "tags": [...]}]`.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import crawleruseragents
import ua_parser_rs

from schemas.outcomes import BotReason

# Tools that drive a browser. They come first: a headless browser that also names a robot is still headless.
_HEADLESS = (
    r"Headless(Chrome|Edg|Firefox|Shell)",
    r"PhantomJS",
    r"SlimerJS",
    r"Puppeteer",
    r"Playwright",
    r"Selenium",
    r"Cypress/",
    r"TestCafe",
    r"jsdom/",
    r"^splash Version/",
    r"Ghost Inspector",
)
# Patterns of the package that people's browsers match too.
_PEOPLE = frozenset(
    (
        r"AP3A\.240617\.008",  # a build of Android 15 that several makers ship
        r"MetaIAB Facebook",  # the browser inside Meta's apps
        r"Sogou",  # also the name of browsers in wide use; the spider is listed below
        r"Valve\/Steam",  # the browser of Steam's overlay
        r"PayPal\/",  # the browser inside PayPal's app
        r"Tumblr\/",  # the browser inside Tumblr's app
        r"Instapaper\/",  # a reading app
        r"Notion\/",  # a desktop program that opens pages
        r"Asana\/",  # the same
        r"Code\/1\.",  # the same: an editor
        r"Trae\/",  # the same
        r"Viber",  # the browser inside Viber's app
        r"Fluid",  # makes programs of pages for people
        r"Sonic",  # short words that device and program names contain
        r"Fever",
        r"Butterfly",
        r"Charlotte",
        r"Magellan",
        r"Adventurer",
        r"Blackboard",
        r"Devin",
        r"RED\/",
        r"Make\/",
        r"Operator\/",
        r"Goodreads",
        r"CapitalOneShopping",  # a shopping extension of people's browsers
        r"NextCloud",  # a desktop program
    )
)
_ROBOTS_TOO = (r"Sogou [A-Za-z]+ [Ss]pider", r"Sogou-Test-Spider")


class SignaturesError(ValueError):
    """A list of robots cannot be used; the text says why."""


def builtin_signatures() -> list[dict[str, Any]]:
    """The package's list without the patterns that people's browsers match."""
    kept = [entry for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA if entry["pattern"] not in _PEOPLE]
    return [*kept, *({"pattern": pattern} for pattern in _ROBOTS_TOO)]


def read_signatures(path: Path) -> list[dict[str, Any]]:
    """A list of the same shape from a file. Raises SignaturesError."""
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SignaturesError(f"not readable as JSON: {error}") from error
    if not isinstance(entries, list):
        raise SignaturesError("not a JSON list")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("pattern"), str) or not entry["pattern"]:
            raise SignaturesError(f"entry {number}: no pattern")
        if not isinstance(entry.get("tags", []), list):
            raise SignaturesError(f"entry {number}: tags are not a list")
    return entries


def classifier(signatures: Iterable[dict[str, Any]]) -> Callable[[str], BotReason]:
    """A function that says for one user agent: USER_AGENT, HEADLESS, HTTP_LIBRARY or NONE; about 3 µs each.

    Entries tagged `http-library` mean HTTP_LIBRARY, all others USER_AGENT. An empty text is NONE: whether that is
    suspicious depends on the event. Raises SignaturesError for a pattern that is no regular expression.
    """
    robots: list[str] = []
    libraries: list[str] = []
    for entry in signatures:
        (libraries if "http-library" in entry.get("tags", []) else robots).append(entry["pattern"])
    rules = [(pattern, BotReason.HEADLESS) for pattern in _HEADLESS]
    rules += [(pattern, BotReason.USER_AGENT) for pattern in robots]
    # A robot that names the library it is written with is a robot: libraries come last.
    rules += [(pattern, BotReason.HTTP_LIBRARY) for pattern in libraries]
    # ua-parser's extractor is a set of regexes behind one prefilter, and any regexes will do:
    # 2 µs a user agent for all 1,500, against 550 µs for one large alternation of Python's re.
    try:
        first_match = ua_parser_rs.UserAgentExtractor(
            (pattern, reason.value, None, None, None, None) for pattern, reason in rules
        ).extract
    except ValueError as error:
        raise SignaturesError(str(error)) from error

    def classify(text: str) -> BotReason:
        match = first_match(text) if text else None
        return BotReason(match.family) if match else BotReason.NONE

    return classify
