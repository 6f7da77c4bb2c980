"""The schema registry away at start, or when a new schema comes: nobody ends, nothing is lost, no credentials show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.process import free_port
from docker.local.services import Service
from schemas.apply.topics import apply_topics
from schemas.codec import Codec
from schemas.registry import open_ids
from tests.schemas.registry_server import RegistryServer
from tests.sinks.records import event
from tests.sinks.rig import SinkRig

SECRET = "s3cret-w0rd"


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    server = RegistryServer()
    yield server
    server.stop()


def test_a_sink_waits_for_the_registry_at_start_and_says_so(rig: SinkRig, registry: RegistryServer) -> None:
    rig.found_group()
    sink = rig.sink(schema_registry_url=registry.url(f"user:{SECRET}"))
    sink.launch()
    rig.wait_for_word(sink, "waiting for the schema registry")
    status, text = sink.get("/readyz")
    assert status == 503
    assert str(registry.port) in text
    assert sink.get("/healthz")[0] == 200
    registry.start()
    codec = Codec("enriched_events", open_ids(registry.url()))
    rig.produce("enriched_events", [codec.encode(event(offset)) for offset in range(10)])
    rig.wait_for_acknowledgement([10, 0])
    assert rig.rows() == 10
    log = sink.log()
    assert SECRET not in log + text
    assert "Traceback" not in log
    assert sink.terminate() == 0


def test_a_sink_that_waits_for_the_registry_stops_when_told_to(rig: SinkRig, registry: RegistryServer) -> None:
    sink = rig.sink(schema_registry_url=registry.url())
    sink.launch()
    rig.wait_for_word(sink, "waiting for the schema registry")
    assert sink.terminate() == 0


def test_a_new_schema_is_waited_for_while_the_registry_is_away(rig: SinkRig, registry: RegistryServer) -> None:
    rig.found_group()
    registry.start()
    codec = Codec("enriched_events", open_ids(registry.url()))
    rig.produce("enriched_events", [codec.encode(event(offset)) for offset in range(10)])
    sink = rig.sink(schema_registry_url=registry.url())
    sink.start()
    rig.wait_for_acknowledgement([10, 0])
    registry.stop()
    later = len(registry.schemas) + 1
    registry.schemas.append(registry.schemas[codec.schema_id - 1])
    header = b"\0" + later.to_bytes(4, "big")
    rig.produce("enriched_events", [header + codec.encode(event(offset))[5:] for offset in range(10, 20)])
    stopped = 'tally_sinks_stopped{cause="registry_away",topic="enriched_events"}'
    rig.wait_until(lambda: sink.sample(stopped) == 1, sink.log_tail)
    registry.start()
    rig.wait_for_acknowledgement([20, 0])
    rig.wait_until(lambda: sink.sample(stopped) == 0, sink.log_tail)
    assert rig.sources() == [(1, 0, offset) for offset in range(20)]
    assert rig.consume("dead_letters") == []


@pytest.mark.parametrize("package", ["collector", "streams"])
def test_collector_and_streams_wait_for_the_registry_at_start(
    rig: SinkRig, registry: RegistryServer, tmp_path: Path, package: str
) -> None:
    for future in rig.kafka.admin.delete_topics([*_topics(rig)]).values():
        future.result(30)
    rig.wait_until(lambda: not _topics(rig), lambda: _topics(rig))
    apply_topics(rig.settings)
    port = free_port()
    own = {"schema_registry_url": registry.url(f"user:{SECRET}"), f"{package}_admin_port": port, "collector_port": 0}
    service = Service(package, tmp_path / package, rig.settings.model_copy(update=own), port)
    try:
        service.launch()
        rig.wait_until(lambda: "waiting for the" in service.log(), service.log_tail)
        assert service.exit_code is None
        registry.start()
        rig.wait_until(service.is_ready, service.log_tail)
        assert SECRET not in service.log()
        assert "Traceback" not in service.log()
    finally:
        service.kill()


def _topics(rig: SinkRig) -> list[str]:
    prefix = rig.settings.topic_prefix
    assert prefix
    return [name for name in rig.kafka.admin.list_topics(timeout=15).topics if name.startswith(prefix)]
