"""A project of the collector and what was stored of it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from collector.projects.record import project_record
from collector.projects.topic import write_project
from tests.browser.chromium import Visit
from tests.collector.made import codec
from tests.collector.running import TENANT, Running, read_topic

_WAIT_S = 20.0


class Shop:
    """A project of its own in a running collector. `allowed_origins`: of the pages that may send; none: every page."""

    def __init__(self, running: Running, allowed_origins: Sequence[str] = (), settings: str = "{}") -> None:
        self._running = running
        now = time.time_ns() // 1_000_000
        record = project_record(
            None, now, name="shop", tenant_id=TENANT, allowed_origins=allowed_origins, settings=settings
        )
        write_project(running.settings, codec("projects"), record)
        self.write_key: str = record["write_key"]
        self._project_id = str(record["project_id"])
        give_up_at = time.monotonic() + _WAIT_S
        while not self._is_known():
            assert time.monotonic() < give_up_at, f"the project is not known\n{running.service.log_tail()}"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """The collector's address."""
        return self._running.url

    def rows(self) -> list[dict[str, Any]]:
        """The raw events of the project."""
        return self._stored("raw_events")

    def dead_letters(self) -> list[dict[str, Any]]:
        """The dead letters of the project."""
        return self._stored("dead_letters")

    def wait_for_rows(self, count: int, visit: Visit) -> list[dict[str, Any]]:
        """The rows, once there are so many different events. The page goes on meanwhile."""
        try:
            visit.wait_for(lambda: len(self.event_names()) >= count, f"{count} events stored")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- stored\n{self.event_names()}") from None
        return self.rows()

    def event_names(self) -> list[str]:
        """Type and name of each event, sorted; one that was sent twice under one message id counts once."""
        events = {row["message_id"]: f"{row['event_type']} {row['event_name']}".rstrip() for row in self.rows()}
        return sorted(events.values())

    def _stored(self, topic: str) -> list[dict[str, Any]]:
        values = [stored.value for stored in read_topic(self._running.settings, topic)]
        return [value for value in values if str(value["project_id"]) == self._project_id]

    def _is_known(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/v1/projects/{self.write_key}/settings", timeout=10) as answer:
                json.load(answer)
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
