"""What tests ask of a Kafka that has only just begun."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.kafka import answered


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError._UNKNOWN_PARTITION])
def test_a_broker_that_is_not_ready_is_asked_again(code: int) -> None:
    answers: list[Exception | int] = [KafkaException(KafkaError(code)), 7]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert answered(ask) == 7


def test_any_other_error_is_told_at_once() -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

    with pytest.raises(KafkaException):
        answered(ask)
    assert len(asked) == 1
