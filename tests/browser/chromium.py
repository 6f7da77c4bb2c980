"""Chromium as people have it, except that it reaches this machine and nothing else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

from docker.local.packages import fetch

WAIT_MS = 20_000
_HERE = ("127.0.0.1", "localhost")
_FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Not Playwright's own interception: with it, Playwright answers the preflights itself and allows everything.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(fetch("chromium") / "chromium"), chromium_sandbox=False, args=_FLAGS
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page in a profile of its own, and every request it makes.

    `answers` are those that the page may read: one whose CORS headers are wrong is not among them.
    """

    page: Page
    requests: list[Request] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.context.on("request", lambda request: self.requests.append(request))
        self.page.context.on("response", lambda answer: self.answers.append(answer))

    def open(self, url: str) -> None:
        """Go to a page and wait until its scripts are loaded."""
        self.page.goto(url)

    def run(self, script: str) -> Any:
        """The value, or what the promise resolves to, of JavaScript in the page."""
        return self.page.evaluate(script)

    def posts(self) -> list[Request]:
        """The POSTs so far, preflights not among them."""
        return [request for request in self.requests if request.method == "POST"]

    def statuses(self) -> list[int]:
        """The answers to POSTs so far that the page may read."""
        return [answer.status for answer in self.answers if answer.request.method == "POST"]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Let the page go on until `condition()` holds. Fails with what the page had to say."""
        give_up_at = time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < give_up_at:
            is_met = condition()
            self.page.wait_for_timeout(50)  # this is also when Playwright tells of requests and answers
            if is_met:
                return
        raise AssertionError(f"still not: {what}\n{self.account()}")

    def wait_for_answers(self, count: int, status: int = 200) -> None:
        """Wait until `count` POSTs were answered like this."""
        self.wait_for(lambda: self.statuses().count(status) >= count, f"{count} POSTs answered {status}")

    def account(self) -> str:
        """What the page did, for a failed test."""
        sent = [f"{request.method} {request.url} {request.failure or ''}" for request in self.requests]
        return "\n".join(
            ["--- requests", *sent, "--- answers to POSTs", str(self.statuses()), "--- console", *self.console]
        )

    def elsewhere(self) -> list[str]:
        """Requests to any other machine, made or tried."""
        urls = [request.url for request in self.requests]
        return [url for url in urls if urlsplit(url).scheme != "data" and urlsplit(url).hostname not in _HERE]
