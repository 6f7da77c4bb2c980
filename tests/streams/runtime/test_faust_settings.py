"""Faust's settings, pinned: delivery rests on them, and a default of another release must not change one unseen.

Whoever means a change writes it here too, and says why beside the setting.
"""

from typing import Any, Final

import pytest

from schemas.settings import Settings
from streams.runtime.app import App
from tests.streams.runtime.faust_app import faust_app

PINNED: Final[dict[str, Any]] = {
    "topic_partitions": 3,
    "topic_disable_leader": True,
    "topic_allow_declare": False,
    "autodiscover": False,
    "stream_wait_empty": True,
    "stream_buffer_maxsize": 2,
    "stream_recovery_delay": 0.0,
    "broker_max_poll_records": None,
    "broker_commit_interval": 5.0,
    "broker_commit_every": 10_000,  # what Faust makes of None; of chunks that are durable
    "broker_session_timeout": 15.0,
    "broker_heartbeat_interval": 3.0,
    "broker_rebalance_timeout": 30.0,
    "broker_request_timeout": 40.0,
    "consumer_max_fetch_size": 4 * 2**20,
    "consumer_auto_offset_reset": "earliest",
    "consumer_group_instance_id": None,
    "table_standby_replicas": 0,
    "web_enabled": False,
    "debug": False,
}


async def test_what_faust_goes_by_is_as_pinned() -> None:
    conf = faust_app().conf
    assert {name: getattr(conf, name) for name in PINNED} == PINNED
    assert (str(conf.store), conf.processing_guarantee.name) == ("memory:", "AT_LEAST_ONCE")
    # Faust's default restarts an agent past the event that it failed on.
    assert conf.agent_supervisor.__name__ == "CrashingSupervisor"


@pytest.mark.parametrize("bootstrap", ["one:9092", "one:9092,two:9093"])
async def test_every_broker_named_is_asked(bootstrap: str) -> None:
    settings = Settings.model_validate({"kafka_bootstrap": bootstrap, "streams_instance_id": "worker-1"})
    conf = App(settings).conf
    assert [f"{url.host}:{url.port}" for url in conf.broker] == bootstrap.split(",")
    assert conf.consumer_group_instance_id == "worker-1"
