"""Faults in schemas."""

from typing import Final

from tests.mutants.fault import Fault

IN_SCHEMAS: Final[tuple[Fault, ...]] = (
    Fault(
        name="schemas-idempotence",
        file="schemas/kafka.py",
        text='"enable.idempotence": True',
        becomes='"enable.idempotence": False',
        tests=(
            "tests/schemas/test_broker_configs.py::test_what_a_producer_reports_as_delivered_is_on_every_replica_once_in_order_and_in_its_keys_partition",
        ),
        guarantee="What a producer repeats stands once, and in order.",
    ),
    Fault(
        name="schemas-acks",
        file="schemas/kafka.py",
        text='"acks": "all"',
        becomes='"acks": "1"',
        tests=(
            "tests/schemas/test_broker_configs.py::test_what_a_producer_reports_as_delivered_is_on_every_replica_once_in_order_and_in_its_keys_partition",
        ),
        guarantee="Delivered means: on every in-sync replica.",
    ),
    Fault(
        name="schemas-partitioner",
        file="schemas/kafka.py",
        text='"partitioner": "murmur2_random"',
        becomes='"partitioner": "consistent_random"',
        tests=(
            "tests/schemas/test_broker_configs.py::test_what_a_producer_reports_as_delivered_is_on_every_replica_once_in_order_and_in_its_keys_partition",
        ),
        guarantee="One key has one partition, whichever client writes.",
    ),
    Fault(
        name="schemas-commits-by-itself",
        file="schemas/kafka.py",
        text='"enable.auto.commit": False',
        becomes='"enable.auto.commit": True',
        tests=(
            "tests/schemas/test_broker_configs.py::test_a_consumer_commits_what_it_is_told_to_and_a_new_group_begins_at_the_beginning",
        ),
        guarantee="A consumer commits only what it is told to.",
    ),
    Fault(
        name="schemas-one-replica-acknowledges",
        file="schemas/topics.py",
        text="if settings.replication_factor >= _REPLICAS_FOR_TWO:",
        becomes="if settings.replication_factor > _REPLICAS_FOR_TWO:",
        tests=("tests/schemas/test_contract.py::test_what_is_acknowledged_stands_twice_where_that_can_be_had",),
        guarantee="With three replicas, acknowledged means that two have it.",
    ),
    Fault(
        name="schemas-key-escapes-percent",
        file="schemas/keys.py",
        text='part.replace("%", "%25").replace("/", "%2F")',
        becomes='part.replace("/", "%2F")',
        tests=("tests/schemas/test_keys.py::test_a_slash_moves_nothing_from_the_visitor_into_the_session",),
        guarantee="Different things never have one Kafka key.",
    ),
    Fault(
        name="schemas-owner-with-slash",
        file="schemas/keys.py",
        text='return text != "" and "/" not in text',
        becomes='return text != ""',
        tests=("tests/schemas/test_keys.py::test_owners_whose_key_could_be_another_s_are_refused",),
        guarantee="No tenant's records can pass for another's.",
    ),
    Fault(
        name="schemas-cut-key",
        file="schemas/dead_letters.py",
        text='        source_key = ""',
        becomes="        source_key = source_key[:100]",
        tests=("tests/schemas/test_dead_letters.py::test_it_fits_into_a_message_whatever_it_is_made_of",),
        guarantee="A dead letter has its key whole or not at all: a part of it would be somebody else's.",
    ),
    Fault(
        name="schemas-payload-uncut",
        file="schemas/dead_letters.py",
        text="    if len(payload) > BYTES_MAX:",
        becomes="    if len(payload) > 2 * BYTES_MAX:",
        tests=("tests/schemas/test_dead_letters.py::test_it_fits_into_a_message_whatever_it_is_made_of",),
        guarantee="A dead letter always fits into a message.",
    ),
    Fault(
        name="schemas-uuid-by-case",
        file="schemas/message_ids.py",
        text="return client_message_id.lower()",
        becomes="return client_message_id",
        tests=("tests/schemas/test_message_ids.py::test_all_have_one_mapping",),
        guarantee="A message id is the same in whatever case its UUID was sent.",
    ),
    Fault(
        name="schemas-new-field-without-default",
        file="schemas/evolution.py",
        text='if "default" not in field:',
        becomes='if "default" in field and False:',
        tests=("tests/schemas/test_evolution.py::test_what_cannot_be_read_is_refused_by_its_name",),
        guarantee="Today's reader reads every version that was ever written.",
    ),
    Fault(
        name="schemas-narrowed-field",
        file="schemas/evolution.py",
        text='(old["type"], new["type"]) == ("int", "long")',
        becomes='{str(old["type"]), str(new["type"])} == {"int", "long"}',
        tests=("tests/schemas/test_evolution.py::test_what_cannot_be_read_is_refused_by_its_name",),
        guarantee="A field keeps its type or gets a wider one.",
    ),
    Fault(
        name="schemas-retention-shortened",
        file="schemas/apply/topics.py",
        text="return int(found) == FOR_EVER",
        becomes="return int(found) != FOR_EVER",
        tests=(
            "tests/schemas/apply/test_operators_changes.py::test_which_values_of_an_operator_promise_all_that_the_contract_s_do",
        ),
        guarantee="`apply` never shortens what an operator made longer.",
    ),
    Fault(
        name="schemas-misspelt-setting",
        file="schemas/project_settings.py",
        text="if unknown := sorted(members.keys() - FIELDS):",
        becomes="if unknown := sorted(set[str]()):",
        tests=(
            "tests/schemas/test_project_settings.py::test_readers_pass_over_settings_they_do_not_know_and_the_command_names_them",
        ),
        guarantee="A misspelt setting of a project is refused where it is written.",
    ),
    Fault(
        name="schemas-property-of-another-type",
        file="schemas/properties.py",
        text="if column is not None and column.type is kind:",
        becomes="if column is not None:",
        tests=(
            "tests/schemas/test_properties.py::test_a_property_is_its_column_only_where_that_has_the_type_asked_for",
        ),
        guarantee="A property is read as the type that was asked for.",
    ),
)
