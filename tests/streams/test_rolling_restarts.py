"""Workers stopped in order and started again, one after the other, under load on a real Kafka."""

from tests.streams.accounting import assert_accounted, traffic
from tests.streams.rig import StreamsRig


def test_rolling_restarts_of_two_workers_lose_nothing(rig: StreamsRig) -> None:
    load = rig.load(traffic(24_000), seconds=10)
    workers = [rig.worker(), rig.worker()]
    for worker in workers:
        worker.start()
    for worker in (*workers, workers[0]):
        assert worker.terminate() == 0
        worker.start()
        assert load.is_alive
    load.end()
    rig.catch_up()
    assert_accounted(rig)
    assert [worker.terminate() for worker in workers] == [0, 0]
