"""A worker whose projects are never loaded says so; one that nobody loads them for ends."""

import asyncio
import os

import pytest
from structlog.testing import capture_logs

from streams import __main__ as command
from streams.runtime.exits import Exit


class Exited(BaseException):
    """The process ended itself; `args[0]` is its exit code."""


@pytest.fixture(autouse=True)
def _exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(command, "_SAY_WAITING_S", 0.01)


async def test_a_follower_that_dies_before_the_projects_are_loaded_ends_the_worker() -> None:
    async def die() -> None:
        raise RuntimeError("the registry is away")

    following = asyncio.create_task(die())
    with pytest.raises(Exited) as ended:
        await command._loaded(asyncio.Event(), asyncio.Event(), following)
    assert ended.value.args == (Exit.FAILED,)


async def test_a_worker_that_waits_for_its_projects_says_so() -> None:
    async def follow() -> None:
        await asyncio.Event().wait()

    loaded, following = asyncio.Event(), asyncio.create_task(follow())
    with capture_logs() as logs:
        waiting = asyncio.create_task(command._loaded(loaded, asyncio.Event(), following))
        while not logs:
            await asyncio.wait([waiting], timeout=0.01)
        loaded.set()
        await waiting
    following.cancel()
    assert "waiting for the projects" in logs[0]["event"]
