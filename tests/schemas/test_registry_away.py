"""A registry that is away is waited for, said so, and never shows its credentials; no event loop waits for it."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest

from schemas.codec import Codec
from schemas.registry import RegistryIds, RegistryUnavailableError, SchemaUnknownError, open_ids
from schemas.registry_wait import registry_answers, wait_for_registry
from tests.schemas.registry_server import RegistryServer

SECRET = "s3cret-w0rd"


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    server = RegistryServer()
    yield server
    server.stop()


def test_a_registry_that_is_away_is_named_without_its_credentials(registry: RegistryServer) -> None:
    ids = RegistryIds(registry.url(f"us%40er:{SECRET}"))
    for ask in (lambda: ids.schema_id("projects"), lambda: ids.schema(3)):
        with pytest.raises(RegistryUnavailableError) as away:
            ask()
        said = f"{away.value} {away.value.url} {away.value!r}"
        assert str(registry.port) in said
        assert SECRET not in said
        assert "us%40er" not in said
        assert "us@er" not in said


def test_the_wait_at_start_ends_when_the_registry_answers(registry: RegistryServer) -> None:
    said: list[str] = []

    def wait(_seconds: float) -> bool:
        if len(said) == 2:
            registry.start()
        return False

    ids = open_ids(registry.url(f"user:{SECRET}"))
    assert wait_for_registry(ids, ["projects", "sessions"], wait, said.append)
    assert len(said) == 2
    assert SECRET not in "".join(said)
    registry.stop()
    assert ids.schema_id("sessions") == 2  # from memory


def test_the_wait_at_start_can_be_given_up(registry: RegistryServer) -> None:
    assert not wait_for_registry(open_ids(registry.url()), ["projects"], lambda _s: True, lambda _why: None)


def test_an_event_loop_goes_on_while_the_registry_is_waited_for(registry: RegistryServer) -> None:
    async def run() -> tuple[bool, int]:
        ticks = 0
        stop = asyncio.Event()
        started = asyncio.Event()

        def on_wait(_why: str) -> None:
            started.set()

        waiting = asyncio.create_task(registry_answers(open_ids(registry.url()), ["projects"], stop, on_wait))
        await started.wait()
        for _ in range(5):
            await asyncio.sleep(0)
            ticks += 1
        assert not waiting.done()
        registry.start()
        return await waiting, ticks

    assert asyncio.run(run()) == (True, 5)


def test_an_event_loop_gives_up_when_it_is_to_stop(registry: RegistryServer) -> None:
    async def run() -> bool:
        stop = asyncio.Event()
        return await registry_answers(open_ids(registry.url()), ["projects"], stop, lambda _why: stop.set())

    assert not asyncio.run(run())


def test_a_codec_says_of_which_records_it_must_ask(registry: RegistryServer) -> None:
    registry.start()
    ids = open_ids(registry.url())
    assert Codec("projects", ids).knows(b"not framed")
    ours, reader = Codec("sessions", ids), Codec("sessions", open_ids(registry.url()))
    value = ours.header + b"\0" * 400
    assert not reader.knows(value)


def test_an_id_that_the_registry_does_not_have_is_unknown_and_not_awaited(registry: RegistryServer) -> None:
    registry.start()
    with pytest.raises(SchemaUnknownError) as unknown:
        open_ids(registry.url()).schema(4711)
    assert not unknown.value.may_come


def test_no_setting_shows_the_registrys_credentials(registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.__main__ import show_settings

    monkeypatch.setenv("TALLY_SCHEMA_REGISTRY_URL", registry.url(f"user:{SECRET}"))
    out = io.StringIO()
    with redirect_stdout(out):
        show_settings()
    assert SECRET not in out.getvalue()
