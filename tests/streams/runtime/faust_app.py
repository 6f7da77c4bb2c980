"""The real Faust application, made and never started."""

from prometheus_client import CollectorRegistry

from schemas.metrics import StreamsMetrics
from schemas.settings import Settings
from streams.runtime.app import App
from streams.topology import Parts, create_worker
from tests.streams.raw import IDS
from tests.streams.runtime.epoch_fakes import FakePublisher
from tests.streams.world import conversions, simple_lookups


def faust_app(now_ms: int = 0) -> App:
    """Three partitions, chunks of three records, topics named `t_…`; what it publishes goes nowhere."""
    settings = Settings.model_validate({"topic_prefix": "t_", "partitions": 3, "streams_chunk_records_max": 3})
    publisher = FakePublisher("outputs", [])
    metrics = StreamsMetrics(CollectorRegistry())
    parts = Parts(IDS, simple_lookups(), conversions(), publisher, publisher, metrics, lambda: now_ms)
    return create_worker(settings, parts)
