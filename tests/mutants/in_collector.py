"""Faults in collector."""

from typing import Final

from tests.mutants.fault import Fault

IN_COLLECTOR: Final[tuple[Fault, ...]] = (
    Fault(
        name="collector-message-id-of-a-retry",
        file="collector/events/admit.py",
        text="project.message_ids(client_message_id) if client_message_id else arrival.message_id or event_id",
        becomes="event_id",
        tests=(
            "tests/collector/events/test_admit.py::test_a_retry_is_another_event_with_the_message_id_of_the_first_try",
        ),
        guarantee="A retry has the message id of the first try, so that it is recognised.",
    ),
    Fault(
        name="collector-owner-by-the-key",
        file="collector/events/admit.py",
        text="        project.tenant_id,\n        project.project_id,\n",
        becomes="        project.project_id,\n        project.tenant_id,\n",
        tests=("tests/collector/events/test_admit.py::test_every_field_of_a_track_call",),
        guarantee="Tenant and project come from the write key, each in its place.",
    ),
    Fault(
        name="collector-broken-utf8",
        file="collector/events/admit.py",
        text="if not batch.is_utf8 and not is_utf8(bytes(raw)):",
        becomes="if not batch.is_utf8 and False:",
        tests=("tests/collector/events/test_admit.py::test_refusal_keeps_the_bytes_and_the_neighbours",),
        guarantee="What is no UTF-8 is a dead letter, and no raw event.",
    ),
    Fault(
        name="collector-event-size",
        file="collector/events/admit.py",
        text="if len(raw) > limits.event_bytes_max:",
        becomes="if len(raw) > 2 * limits.event_bytes_max:",
        tests=("tests/collector/events/test_admit.py::test_refusal_keeps_the_bytes_and_the_neighbours",),
        guarantee="An event has a limit.",
    ),
    Fault(
        name="collector-multiplied-context",
        file="collector/events/admit.py",
        text="or len(batch.context) * count > CONTEXTS_BYTES_MAX",
        becomes="",
        tests=(
            "tests/collector/http/test_hostile_requests.py::test_a_batchs_context_cannot_be_multiplied_into_gigabytes",
        ),
        guarantee="A batch's context beneath all its events has a limit.",
    ),
    Fault(
        name="collector-neighbours-of-the-bad",
        file="collector/events/admit.py",
        text="            kept = kept or kept_arrival(batch, arrival)",
        becomes="            admitted.clear()\n            kept = kept or kept_arrival(batch, arrival)",
        tests=("tests/collector/events/test_admit.py::test_refusal_keeps_the_bytes_and_the_neighbours",),
        guarantee="A bad event harms none of its neighbours.",
    ),
    Fault(
        name="collector-clock-ahead",
        file="collector/events/times.py",
        text="original if 0 <= skew <= way_ms_max",
        becomes="original if skew <= way_ms_max",
        tests=("tests/collector/events/test_clocks.py::test_a_wrong_clock_is_corrected_by_its_skew",),
        guarantee="A client's wrong clock is corrected, fast ones as well as slow ones.",
    ),
    Fault(
        name="collector-future-bound",
        file="collector/events/times.py",
        text="-self.future_ms_max <= received_at",
        becomes="-self.past_ms_max <= received_at",
        tests=("tests/collector/events/test_times.py::test_bounds_are_inclusive",),
        guarantee="A time too far in the future is replaced by that of arrival.",
    ),
    Fault(
        name="collector-unacknowledged-success",
        file="collector/kafka/publisher.py",
        text="            self.durable = False",
        becomes="            self.durable = True",
        tests=(
            "tests/collector/kafka/test_acknowledgements.py::test_one_record_that_kafka_refuses_makes_the_request_not_durable",
        ),
        guarantee="A success means that Kafka has acknowledged every record of the request.",
    ),
    Fault(
        name="collector-timeout-is-success",
        file="collector/kafka/publisher.py",
        text="request.future.set_result(False)",
        becomes="request.future.set_result(True)",
        tests=(
            "tests/collector/kafka/test_acknowledgements.py::test_a_request_that_has_waited_too_long_is_not_durable",
        ),
        guarantee="A request that has waited too long for Kafka is no success.",
    ),
    Fault(
        name="collector-queue-full-is-silent",
        file="collector/kafka/publisher.py",
        text="if taken != len(records):",
        becomes="if taken > len(records):",
        tests=(
            "tests/collector/kafka/test_acknowledgements.py::test_a_record_that_the_producer_has_no_room_for_makes_the_request_not_durable",
        ),
        guarantee="Records that the producer did not take are told as not durable.",
    ),
    Fault(
        name="collector-room-for-one-more",
        file="collector/kafka/publisher.py",
        text="if self._inflight_bytes + size > self._inflight_bytes_max:",
        becomes="if self._inflight_bytes > self._inflight_bytes_max:",
        tests=(
            "tests/collector/kafka/test_acknowledgements.py::test_what_waits_for_kafka_is_bounded_with_the_request_that_comes",
        ),
        guarantee="Bytes that wait for Kafka have a limit.",
    ),
    Fault(
        name="collector-origin-of-a-body-key",
        file="collector/ingest.py",
        text="body_key)\n        _require_origin(project, sender)",
        becomes="body_key)",
        tests=(
            "tests/collector/http/test_cors.py::test_an_event_from_a_page_that_is_not_allowed_is_not_stored_by_the_key_of_the_body",
        ),
        guarantee="A page that is not allowed stores nothing, wherever its key stands.",
    ),
    Fault(
        name="collector-disabled-by-body-key",
        file="collector/projects/authenticate.py",
        text=(
            "        raise RefusedRequest(Refusal.KEY_UNKNOWN if is_given else Refusal.KEY_MISSING)\n"
            "    if project.is_disabled:"
        ),
        becomes=(
            "        raise RefusedRequest(Refusal.KEY_UNKNOWN if is_given else Refusal.KEY_MISSING)\n"
            "    if project.is_disabled and found:"
        ),
        tests=(
            "tests/collector/projects/test_directory.py::test_a_disabled_project_is_refused_by_the_key_of_the_body_too",
        ),
        guarantee="A disabled project takes nothing, wherever its key stands.",
    ),
    Fault(
        name="collector-old-project-record",
        file="collector/projects/directory.py",
        text="if before is None or before.updated_at <= project.updated_at:",
        becomes="if before is None or project:",
        tests=("tests/collector/projects/test_directory.py::test_the_newest_record_of_a_key_wins",),
        guarantee="Of a project the newest record counts, whatever the order.",
    ),
    Fault(
        name="collector-event-ids-fall",
        file="collector/events/event_ids.py",
        text="if now_ms > self._last_ms:",
        becomes="if now_ms != self._last_ms:",
        tests=("tests/collector/events/test_ids.py::test_event_ids_rise_whatever_the_clock_does",),
        guarantee="Event ids rise, also when the clock steps back.",
    ),
    Fault(
        name="collector-strangers-are-one",
        file="collector/events/session_key.py",
        text="if anonymous_id and not is_placeholder(anonymous_id, own_placeholders):",
        becomes="if anonymous_id:",
        tests=("tests/collector/http/test_request_facts.py::test_strangers_with_a_placeholder_do_not_share_a_key",),
        guarantee="Strangers whose id names nobody are not one visitor.",
    ),
    Fault(
        name="collector-unknown-ip-policy",
        file="collector/events/visitor_address.py",
        text='if policy != "striplastoctet" or not address:\n        return ""',
        becomes=('if policy != "striplastoctet" or not address:\n        return "" if policy == "remove" else address'),
        tests=(
            "tests/collector/events/test_visitor_address.py::test_jitsu_s_policy_decides_how_much_of_the_address_is_kept",
        ),
        guarantee="An address under a policy that nobody knows is not kept.",
    ),
    Fault(
        name="collector-address-of-a-server",
        file="collector/events/visitor_address.py",
        text='        return ""\n    return address if ip_policy is None',
        becomes="        return request_address\n    return address if ip_policy is None",
        tests=("tests/collector/events/test_visitor_address.py::test_an_empty_address_is_none_at_all",),
        guarantee="A server's address is not taken for the visitor's.",
    ),
    Fault(
        name="collector-replay-is-new",
        file="collector/events/readmit.py",
        text="came.is_import,\n        dead_letter.dead_letter_id,",
        becomes="came.is_import,\n        None,",
        tests=(
            "tests/collector/events/test_readmit.py::test_an_event_of_a_batch_keeps_its_times_context_address_and_agent",
        ),
        guarantee="A replayed event says whose replay it is.",
    ),
    Fault(
        name="collector-replay-from-here",
        file="collector/events/readmit.py",
        text="        came.ip,\n",
        becomes='        "",\n',
        tests=(
            "tests/collector/events/test_readmit.py::test_an_event_of_a_batch_keeps_its_times_context_address_and_agent",
        ),
        guarantee="A replayed event keeps the address with which it came.",
    ),
    Fault(
        name="collector-salvage-gives-up",
        file="collector/events/parse.py",
        text="if salvaged is None or salvaged.elements is None:",
        becomes="if salvaged is not None:",
        tests=("tests/collector/events/test_parse.py::test_events_of_a_batch_are_the_bytes_that_stood_there",),
        guarantee="Of a broken batch each event is judged for itself.",
    ),
    Fault(
        name="collector-webhook-unsigned",
        file="collector/http/whatsapp_routes.py",
        text="if not is_signed(body, header, app.secrets()):",
        becomes="if not header:",
        tests=(
            "tests/collector/http/test_whatsapp_routes.py::test_what_is_not_signed_by_the_app_is_401_and_nothing_anywhere",
        ),
        guarantee="What Meta has not signed is stored nowhere.",
    ),
    Fault(
        name="collector-webhook-before-the-ack",
        file="collector/http/whatsapp_routes.py",
        text="        is_durable = pending.durable is None or await pending.durable\n",
        becomes="        is_durable = True\n",
        tests=(
            "tests/collector/http/test_whatsapp_routes.py::test_without_kafkas_acknowledgement_it_is_503_and_a_repeat_is_the_same_event",
        ),
        guarantee="A webhook is answered 200 once everything in it is durable.",
    ),
    Fault(
        name="collector-webhook-of-another-app",
        file="collector/projects/numbers.py",
        text="not one.project.is_disabled and app in one.settings.apps",
        becomes="not one.project.is_disabled",
        tests=("tests/collector/whatsapp/test_admit.py::test_a_number_counts_only_in_posts_of_its_projects_apps",),
        guarantee="Another tenant's valid signature opens nothing.",
    ),
    Fault(
        name="collector-token-without-tag",
        file="collector/whatsapp/tokens.py",
        text="if sum(hmac.compare_digest(_spell(body, _tag(key, body)), token) for key in keys):",
        becomes="if keys:",
        tests=(
            "tests/collector/whatsapp/test_tokens.py::test_of_guesses_one_in_1024_passes_and_of_a_body_exactly_one_tag",
        ),
        guarantee="Of 1,024 guesses 1,023 are refused.",
    ),
    Fault(
        name="collector-mint-of-a-clients-token",
        file="collector/whatsapp/mint.py",
        text="if name not in _NOT_OF_CLIENTS",
        becomes="if True",
        tests=(
            "tests/collector/whatsapp/test_mint.py::test_a_client_cannot_name_another_token_with_the_collectors_word",
        ),
        guarantee="No client names a token with the collector's word.",
    ),
    Fault(
        name="collector-plain-ids",
        file="collector/whatsapp/event.py",
        text="return to_id(str(value)) if isinstance(value, Personal) else value",
        becomes="return value",
        tests=(
            "tests/collector/whatsapp/test_admit.py::test_where_ids_are_hashed_no_record_holds_a_phone_a_user_id_or_a_messages_id",
        ),
        guarantee="Where ids are hashed no record holds a plain one.",
    ),
)
