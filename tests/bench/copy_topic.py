"""`python -m tests.bench.copy_topic`: what any processor must do at least, through librdkafka: consume, produce.

Takes one JSON argument: bootstrap, source, target, starts and ends by partition. Prints records, wall_s and cpu_s.
"""

import json
import sys
import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.kafka import consumer_config, producer_config
from schemas.settings import Settings

_CHUNK = 5_000


def copy(bootstrap: str, source: str, target: str, starts: dict[int, int], ends: dict[int, int]) -> dict[str, Any]:
    """Copy the records between the offsets, with their keys, and wait until they are durable."""
    settings = Settings.model_validate({"kafka_bootstrap": bootstrap})
    # The worker's own producer settings: only the processing is to differ.
    producer = Producer(
        producer_config(
            settings,
            linger_ms=5,
            batch_size=2**20,
            batch_num_messages=20_000,
            queue_buffering_max_messages=200_000,
            queue_buffering_max_kbytes=256 * 1024,
            delivery_report_only_error=True,
        )
    )
    consumer = Consumer(consumer_config(settings, "bench-copy"))
    wanted = sum(ends[partition] - start for partition, start in starts.items())
    started, cpu = time.monotonic(), time.process_time()
    consumer.assign([TopicPartition(source, partition, start) for partition, start in starts.items()])
    copied = 0
    while copied < wanted:
        batch: list[dict[str, Any]] = [
            {"key": message.key(), "value": message.value()}
            for message in consumer.consume(min(_CHUNK, wanted - copied), 0.5)
        ]
        copied += len(batch)
        while batch:
            batch = batch[producer.produce_batch(target, batch) :]
            producer.poll(0.01 if batch else 0)
    left = producer.flush(30)
    result = {
        "records": copied - left,
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
    }
    consumer.close()
    return result


def main() -> None:
    """Do what the argument says."""
    order = json.loads(sys.argv[1])
    starts, ends = (
        {int(partition): offset for partition, offset in order[name].items()} for name in ("starts", "ends")
    )
    print(json.dumps(copy(order["bootstrap"], order["source"], order["target"], starts, ends)))


if __name__ == "__main__":
    main()
