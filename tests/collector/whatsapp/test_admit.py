"""What a webhook's items become: events of the right project, with the right names, ids and times; or dead letters."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.arrival import KeptArrival
from collector.events.parse import MalformedError
from collector.projects.directory import ProjectDirectory
from collector.whatsapp.event import IdsSecretMissingError
from collector.whatsapp.tokens import mint, tenant_key
from tests.collector.made import PROJECT, PROJECT_ID, RECEIVED_AT, TENANT_ID, directory_of, project_fields
from tests.collector.whatsapp.payloads import (
    AT,
    CARLA,
    DINO,
    MASTER,
    NUMBER,
    OTHER_NUMBER,
    PHONE,
    Object,
    admit,
    change,
    contact,
    directory,
    handover,
    hook,
    message,
    spelt,
    standby,
    status,
    text,
    wamid,
    whatsapp,
)

TOKEN = mint(tenant_key(MASTER, TENANT_ID), PROJECT_ID, "visitor-1", "s1", NUMBER, RECEIVED_AT // 3_600_000)
WHO = {"message_id": wamid("m"), "phone_number_id": NUMBER, "wa_id": CARLA[0]}


def of(*items: Object, **more: Any) -> bytes:
    """A body with messages of Carla."""
    return hook(change(contacts=[contact()], messages=list(items), **more))


def events(body: bytes, projects: ProjectDirectory | None = None) -> list[Any]:
    """The events of a body of which nothing is refused; properties and context as objects."""
    found = admit(body, projects)
    assert found.refused == []
    return [
        msgspec.structs.replace(event, properties=json.loads(event.properties), context=json.loads(event.context))
        for event, _ in found.admitted
    ]


def test_every_field_of_a_text_message() -> None:
    (event,) = events(of(text("m", "¡Olá! 📦")))
    assert msgspec.structs.asdict(event) | {"event_id": ""} == {
        "event_id": "",
        "message_id": PROJECT.message_ids(wamid("m")),
        "client_message_id": wamid("m"),
        "tenant_id": TENANT_ID,
        "project_id": PROJECT_ID,
        "event_type": "track",
        "event_name": "WhatsApp Message Received",
        "timestamp": AT * 1000,
        "received_at": RECEIVED_AT,
        "anonymous_id": "",
        "user_id": f"whatsapp:{CARLA[1]}",
        "client_session_id": None,
        "group_id": None,
        "previous_id": None,
        "ip_address": "",
        "user_agent": "",
        "properties": WHO | {"message_type": "text", "text_length": 7},
        "context": {"channel_type": "whatsapp", "externalId": CARLA[1]},
        "origin": "whatsapp",
    }


MEDIA = {"caption": "Größe M?", "mime_type": "image/jpeg", "sha256": "aa", "id": "7"}
REPLY = {"from": PHONE, "id": wamid("asked")}
RECEIVED: dict[str, tuple[Object, Object]] = {
    "image": (message("m", "image", MEDIA), {"text_length": 8}),
    "voice": (message("m", "audio", {"id": "7", "voice": True}), {"is_voice": True}),
    "button of a template": (
        message("m", "button", {"payload": "p:1", "text": "Yes"}, context=REPLY),
        {"reply_id": "p:1", "reply_to": wamid("asked")},
    ),
    "button": (
        message("m", "interactive", {"type": "button_reply", "button_reply": {"id": "topic:a", "title": "A"}}),
        {"interactive_type": "button_reply", "reply_id": "topic:a"},
    ),
    "list": (
        message("m", "interactive", {"type": "list_reply", "list_reply": {"id": "slot:1", "title": "9"}}),
        {"interactive_type": "list_reply", "reply_id": "slot:1"},
    ),
    "order": (message("m", "order", {"product_items": [{"quantity": 2}, {}]}), {"product_count": 2}),
    "location": (message("m", "location", {"latitude": 1.5, "name": "Home"}), {}),
    "withheld": (message("m", "unsupported", {"type": "x"}, errors=[{"code": 131060}]), {"error_code": 131060}),
    "forwarded": (
        text("m", "hi", context={"frequently_forwarded": True}),
        {"text_length": 2, "is_forwarded": True, "is_frequently_forwarded": True},
    ),
    "about a product": (
        text("m", "hi", context={"referred_product": {"catalog_id": "1", "product_retailer_id": "SKU"}}),
        {"text_length": 2, "referred_product": "SKU"},
    ),
    "in a group": (text("m", "hi", group_id="g1"), {"text_length": 2, "group_id": "g1"}),
    "of a type nobody knows": (message("m", "hologram", {"depth": 3}), {}),
}


@pytest.mark.parametrize("name", RECEIVED)
def test_what_a_customer_sends_is_received_and_kept_without_its_texts(name: str) -> None:
    item, own = RECEIVED[name]
    (event,) = events(of(item))
    assert event.event_name == "WhatsApp Message Received"
    assert event.properties == WHO | {"message_type": item["type"]} | own


def test_an_ads_click_stands_in_the_referral() -> None:
    referral = {
        "source_url": "https://fb.me/x",
        "source_id": "5",
        "source_type": "ad",
        "ctwa_clid": "clid-1",
        "body": "b",
    }
    (event,) = events(of(text("m", "hi", referral=referral)))
    assert event.properties["referral"] == {name: referral[name] for name in referral if name != "body"}


OTHERS: dict[str, tuple[Object, str, Object]] = {
    "reaction": (
        message("m", "reaction", {"message_id": wamid("o"), "emoji": "👍"}),
        "WhatsApp Message Reacted",
        {"original_message_id": wamid("o"), "is_removed": False},
    ),
    "reaction taken back": (
        message("m", "reaction", {"message_id": wamid("o")}),
        "WhatsApp Message Reacted",
        {"original_message_id": wamid("o"), "is_removed": True},
    ),
    "edit": (
        message("m", "edit", {"original_message_id": wamid("o"), "message": {"type": "text"}}),
        "WhatsApp Message Edited",
        {"original_message_id": wamid("o")},
    ),
    "revoke": (
        message("m", "revoke", {"original_message_id": wamid("o")}),
        "WhatsApp Message Revoked",
        {"original_message_id": wamid("o")},
    ),
    "welcome": (message("m", "request_welcome"), "WhatsApp Chat Opened", {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_message_has_a_name_of_its_own(name: str) -> None:
    item, event_name, own = OTHERS[name]
    (event,) = events(of(item))
    assert (event.event_name, event.properties) == (event_name, WHO | {"message_type": item["type"]} | own)


@pytest.mark.parametrize(
    ("item", "contacts", "customer", "wa_id"),
    [
        (text("m", "x"), [contact()], CARLA[1], CARLA[0]),
        (text("m", "x"), [], CARLA[1], CARLA[0]),
        (text("m", "x", who=("", CARLA[1])), [{"profile": {"username": "carla"}, "user_id": CARLA[1]}], CARLA[1], ""),
        (text("m", "x", who=("+1 2025550131", "")), [], CARLA[0], CARLA[0]),
        (text("m", "x", who=(CARLA[0], "")), [contact()], CARLA[1], CARLA[0]),
        # One number in two spellings, as Argentina's and Mexico's have: the contact's is the one that statuses have.
        (text("m", "x", who=("541112345678", "")), [{"wa_id": "5491112345678"}], "5491112345678", "5491112345678"),
        (text("m", "x", who=DINO), [contact()], DINO[1], DINO[0]),
        (text("m", "x", who=DINO), [contact(), contact(DINO)], DINO[1], DINO[0]),
        (message("m", "contacts", [{"phones": [{"phone": "+1 202-555-0103"}]}], who=("", CARLA[1])), [], CARLA[1], ""),
        (
            message("m", "contacts", [{"origin": "contact_request", "phones": [{"phone": "+1 202-555-0103"}]}],
                    who=("", CARLA[1])),
            [], CARLA[1], "12025550103",
        ),
    ],
)  # fmt: skip
def test_the_customer_is_the_user_id_else_the_phone(item: Object, contacts: Any, customer: str, wa_id: str) -> None:
    (event,) = events(hook(change(contacts=contacts, messages=[item])))
    assert event.user_id == f"whatsapp:{customer}"
    assert event.context["externalId"] == customer
    assert event.properties.get("wa_id", "") == wa_id


NOW_DINO = {"wa_id": DINO[0], "type": "user_changed_number", "user_id": DINO[1], "previous_user_id": CARLA[1]}
OLD_BODY = f"User Carla changed from {CARLA[0]} to {DINO[0]}"


@pytest.mark.parametrize(
    ("system", "customer", "previous"),
    [
        (NOW_DINO, DINO[1], CARLA[1]),
        ({"type": "user_changed_user_id", "user_id": DINO[1], "previous_user_id": CARLA[1]}, DINO[1], CARLA[1]),
        ({"type": "user_changed_number", "wa_id": DINO[0]}, DINO[0], CARLA[0]),
        ({"type": "user_changed_number", "body": OLD_BODY}, DINO[0], CARLA[0]),
    ],
)
def test_a_customer_that_changes_is_the_new_one_and_names_the_former(
    system: Object, customer: str, previous: str
) -> None:
    (event,) = events(hook(change(messages=[message("m", "system", system, who=(CARLA[0], ""))])))
    assert (event.event_name, event.user_id) == ("WhatsApp User Changed", f"whatsapp:{customer}")
    assert event.properties["previous_customer"] == previous


def test_other_system_messages_are_counted_and_no_event() -> None:
    found = admit(hook(change(messages=[message("m", "system", {"type": "customer_identity_changed"})])))
    assert (found.admitted, found.refused) == ([], [])
    assert found.outcomes == {("messages", "ignored"): 1}


def test_statuses_are_events_of_their_message_and_status() -> None:
    price = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
    told = "order-7;tally:sender=bot"
    body = hook(
        change(
            statuses=[
                status("o", "read", biz_opaque_callback_data=told),
                status("o", "sent", pricing=price, conversation={"id": "c1", "origin": {"type": "service"}}),
                status("o", "failed", who=(CARLA[0], ""), errors=[{"code": 131047, "title": "no"}]),
                status("o", "played", who=("", CARLA[1])),
            ]
        )
    )
    read, sent, failed, played = events(body)
    assert {event.event_name for event in (read, sent, failed, played)} == {"WhatsApp Message Status"}
    assert read.client_message_id == f"{wamid('o')}:read"
    assert read.properties == WHO | {"message_id": wamid("o"), "status": "read", "sender": "bot"}
    assert sent.properties == WHO | {
        "message_id": wamid("o"), "status": "sent", "pricing_category": "marketing", "pricing_model": "PMP",
        "pricing_type": "regular", "is_billable": True, "billing_conversation_id": "c1",
        "billing_conversation_origin": "service",
    }  # fmt: skip
    assert failed.user_id == f"whatsapp:{CARLA[0]}"
    assert failed.properties["error_code"] == 131047
    assert played.user_id == f"whatsapp:{CARLA[1]}"
    assert "wa_id" not in played.properties


def test_a_groups_statuses_are_one_for_each_participant() -> None:
    statuses = [
        status("o", "read", recipient_type="group", recipient_id="g1", recipient_participant_id=who[0])
        for who in (CARLA, DINO)
    ]
    found = events(hook(change(statuses=statuses)))
    assert [event.client_message_id for event in found] == [f"{wamid('o')}:read:{who[0]}" for who in (CARLA, DINO)]
    assert {event.properties["group_id"] for event in found} == {"g1"}


@pytest.mark.parametrize(("wanted", "names"), [("all", ["read", "failed"]), ("failed", ["failed"])])
def test_a_project_may_want_failures_alone(wanted: str, names: list[str]) -> None:
    body = hook(change(statuses=[status("o", "read"), status("o", "failed")], messages=[text("m", "x")]))
    found = events(body, directory(status_events=wanted))
    assert [event.properties["status"] for event in found if "status" in event.properties] == names
    assert [event.event_name for event in found].count("WhatsApp Message Received") == 1


def test_what_the_business_wrote_elsewhere_is_an_echo() -> None:
    echo = {"from": PHONE, "to": CARLA[0], "to_user_id": CARLA[1], "id": wamid("o"), "timestamp": AT, "type": "text",
            "text": {"body": "from the phone"}}  # fmt: skip
    (event,) = events(hook(change("smb_message_echoes", message_echoes=[echo])))
    assert (event.event_name, event.client_message_id) == ("WhatsApp Message Echoed", f"{wamid('o')}:echo")
    assert (event.user_id, event.timestamp) == (f"whatsapp:{CARLA[1]}", AT * 1000)
    assert event.properties == WHO | {
        "message_id": wamid("o"), "message_type": "text", "is_echo": True, "text_length": 14,
    }  # fmt: skip
    undone = echo | {"id": wamid("u"), "type": "revoke", "revoke": {"original_message_id": wamid("o")}}
    (event,) = events(hook(change("smb_message_echoes", message_echoes=[undone])))
    assert event.event_name == "WhatsApp Message Revoked"


@pytest.mark.parametrize(("asked", "customer"), [({"to": CARLA[0]}, CARLA[0]), ({"recipient": CARLA[1]}, CARLA[1])])
def test_on_standby_messages_stand_a_level_deeper(asked: Object, customer: str) -> None:
    request = {"messaging_product": "whatsapp", "type": "template", "template": {"name": "t"}} | asked
    echo = {"id": wamid("o"), "timestamp": str(AT), "message": request}
    body = hook(standby(contacts=[contact()], messages=[text("m", "hi")]), standby(message_echoes=[echo]),
                standby(statuses=[status("o", "read")]))  # fmt: skip
    received, echoed, read = events(body)
    assert received.event_name == "WhatsApp Message Received"
    assert (echoed.event_name, echoed.user_id) == ("WhatsApp Message Echoed", f"whatsapp:{customer}")
    assert echoed.properties["message_type"] == "template"
    assert read.properties["status"] == "read"
    assert all(event.properties["is_standby"] for event in (received, echoed, read))
    assert received.client_message_id == wamid("m")  # as when it comes to another app by `messages`


def test_a_handover_has_its_roles_and_an_id_that_a_repeat_has_too() -> None:
    body = hook(handover("control_passed", "escalation", previous_owner_app_role="meta_business_agent", metadata="x"))
    (event,) = events(body)
    (again,) = events(body)
    assert event.event_name == "WhatsApp Handover"
    assert event.properties == {
        "phone_number_id": NUMBER, "wa_id": CARLA[0], "handover_type": "control_passed",
        "previous_owner_role": "ai_agent", "new_owner_role": "escalation",
        "previous_owner_app_role": "meta_business_agent",
    }  # fmt: skip
    assert event.message_id == again.message_id
    (taken,) = events(hook(handover("control_taken", "ai_agent")))
    assert taken.message_id != event.message_id


def test_an_error_of_the_channel_is_the_numbers_and_counts_once_a_day() -> None:
    body = hook(change(errors=[{"code": 130429, "title": "Rate limit hit"}]))
    (event,) = events(body)
    (again,) = events(body)
    assert (event.event_name, event.properties["error_code"]) == ("WhatsApp Channel Error", 130429)
    assert event.user_id == f"whatsapp:{NUMBER}"
    assert event.context == {"channel_type": "whatsapp", "externalId": ""}
    assert event.message_id == again.message_id
    assert event.timestamp == RECEIVED_AT


CARRIERS: dict[str, Object] = {
    "text": text("m", f"Olá! quiero {TOKEN.lower().replace('-', ' ')} gracias"),
    "caption": message("m", "image", {"caption": f"see {TOKEN}"}),
    "payload": message("m", "button", {"payload": f"start:{TOKEN}", "text": "Go"}),
    "button": message("m", "interactive", {"type": "button_reply", "button_reply": {"id": f"a:{TOKEN}"}}),
    "list": message("m", "interactive", {"type": "list_reply", "list_reply": {"id": f"a:{TOKEN}"}}),
    "form": message(
        "m", "interactive", {"type": "nfm_reply", "nfm_reply": {"response_json": json.dumps({"ref": TOKEN})}}
    ),
}


@pytest.mark.parametrize("name", CARRIERS)
def test_a_token_is_found_wherever_it_is_carried(name: str) -> None:
    (event,) = events(of(CARRIERS[name]))
    assert event.properties["handshake_token"] == TOKEN


def test_a_token_in_the_callback_data_is_the_statuss() -> None:
    told = f"tally:sender=agent;tally:handshake={TOKEN}"
    (event,) = events(hook(change(statuses=[status("o", "sent", biz_opaque_callback_data=told)])))
    assert (event.properties["handshake_token"], event.properties["sender"]) == (TOKEN, "agent")
    (plain,) = events(hook(change(statuses=[status("o", "sent", biz_opaque_callback_data=TOKEN)])))
    assert "handshake_token" not in plain.properties


@pytest.mark.parametrize("title", ["title", "description"])
def test_what_no_visitor_may_write_carries_none(title: str) -> None:
    reply = {"id": "a", title: TOKEN}
    (event,) = events(of(message("m", "interactive", {"type": "list_reply", "list_reply": reply})))
    assert "handshake_token" not in event.properties


def test_wrong_tokens_are_counted_and_their_messages_good_events() -> None:
    wrong = TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")
    found = admit(of(text("a", f"Ref {TOKEN}"), text("b", f"Ref {wrong}"), text("c", "hello world")))
    assert found.tokens == {(NUMBER, "found"): 1, (NUMBER, "invalid"): 1}
    assert (len(found.admitted), found.refused) == (3, [])


def test_tokens_of_another_tenant_are_none() -> None:
    other = mint(tenant_key(MASTER, PROJECT_ID), PROJECT_ID, "visitor-1", "s1", NUMBER, 1)
    (event,) = events(of(text("m", f"Ref {other}")))
    assert "handshake_token" not in event.properties


def test_content_is_kept_where_the_project_wants_it() -> None:
    (event,) = events(of(text("m", "¡Olá!")), directory(keep="all"))
    assert event.properties["text"] == {"body": "¡Olá!"}
    assert event.properties["profile_name"] == "Carla Ünlü"


SECRETS = [*CARLA, *DINO, "Carla", "Ünlü", "Olá", wamid("m"), wamid("o")]


def test_where_ids_are_hashed_no_record_holds_a_phone_a_user_id_or_a_messages_id() -> None:
    body = hook(
        change(
            contacts=[contact(), contact(DINO)],
            messages=[
                text("m", "¡Olá!", context={"id": wamid("o")}),
                message("m2", "reaction", {"message_id": wamid("o"), "emoji": "👍"}, who=DINO),
                message("m3", "system", NOW_DINO, who=(CARLA[0], "")),
            ],
            statuses=[
                status("o", "read"),
                status("o", "sent", recipient_type="group", recipient_id="g1", recipient_participant_id=DINO[0]),
            ],
        ),
        handover("control_passed", "escalation"),
        standby(message_echoes=[{"id": wamid("o"), "timestamp": AT, "message": {"to": CARLA[0], "type": "text"}}]),
    )
    found = events(body, directory(ids="hashed"))
    assert len(found) == 7
    for event in found:
        written = msgspec.json.encode(event).decode()
        assert [secret for secret in SECRETS if secret in written] == []
    received, _, changed, read, *_ = found
    assert received.user_id.startswith("whatsapp:PT.h")
    assert received.context["externalId"] == received.user_id.removeprefix("whatsapp:")
    assert changed.properties["previous_customer"] == received.context["externalId"]
    assert read.user_id == received.user_id
    plain = events(body)
    assert any(CARLA[0] in msgspec.json.encode(event).decode() for event in plain)  # the search would find them


def test_without_the_secret_nothing_that_should_be_hashed_goes_out() -> None:
    with pytest.raises(IdsSecretMissingError):
        admit(of(text("m", "x")), directory(ids="hashed"), ids_secret=None)


def test_one_post_of_many_numbers_reaches_each_of_its_projects() -> None:
    other_id = "99999999-9999-4999-8999-999999999999"
    projects = directory_of(
        project_fields(settings=whatsapp(NUMBER)),
        project_fields(settings=whatsapp(OTHER_NUMBER), project_id=other_id, tenant_id=other_id, write_key="other"),
    )
    first = change(messages=[text("m", "first")])
    body = hook(
        *(first, first),
        change(number=OTHER_NUMBER, messages=[text("m", "other number"), {"from": CARLA[0], "type": "text"}]),
        change(number="999", messages=[text("n", "nobody's")]),
        {"value": {"event": "SAMPLE"}, "field": "account_update"},
    )
    found = admit(body, projects)
    assert [event.project_id for event, _ in found.admitted] == [PROJECT_ID, PROJECT_ID, other_id]
    assert len({event.message_id for event, _ in found.admitted}) == 2
    # The same customer of two tenants: no part of one's event is the other's.
    (a, _), _, (b, _) = found.admitted
    assert a.tenant_id != b.tenant_id
    assert [(str(event.reason), owner.project_id) for event, owner in found.refused] == [
        ("whatsapp_item_invalid", other_id),
        ("phone_number_unknown", ""),
    ]
    assert found.outcomes == {("messages", "event"): 3, ("messages", "dead"): 2, ("account_update", "unread"): 1}


def test_a_message_is_the_same_event_whichever_app_and_field_bring_it() -> None:
    projects = directory(apps=["shop", "second"])
    ways = [admit(of(text("m", "x")), projects, app) for app in ("shop", "second", "shop")]
    ways.append(admit(hook(standby(contacts=[contact()], messages=[text("m", "x")])), projects, "second"))
    assert len({event.message_id for way in ways for event, _ in way.admitted}) == 1


def test_a_number_counts_only_in_posts_of_its_projects_apps() -> None:
    found = admit(of(text("m", "x")), app="somebody-elses")
    assert [str(event.reason) for event, _ in found.refused] == ["phone_number_unknown"]
    disabled = directory_of(project_fields(settings=whatsapp(), is_disabled=True))
    assert [str(event.reason) for event, _ in admit(of(text("m", "x")), disabled).refused] == ["phone_number_unknown"]


def test_a_dead_letter_is_a_body_with_that_item_alone_which_can_be_taken_again() -> None:
    body = hook(
        change(number=OTHER_NUMBER, contacts=[contact(DINO), contact()], messages=[text("m", "x"), text("n", "y")])
    )
    refused = admit(body).refused
    assert len(refused) == 2
    for (event, _), name in zip(refused, "mn", strict=True):
        kept = msgspec.json.decode(event.arrival, type=KeptArrival)
        assert (kept.whatsapp_app, kept.received_at) == ("shop", RECEIVED_AT)
        (again,) = events(event.payload, directory(NUMBER, OTHER_NUMBER))
        (direct,) = [
            one for one in events(body, directory(NUMBER, OTHER_NUMBER)) if wamid(name) in one.client_message_id
        ]
        assert msgspec.structs.replace(again, event_id="") == msgspec.structs.replace(direct, event_id="")
    assert [event.dead_letter_id for event, _ in refused] == [event.dead_letter_id for event, _ in admit(body).refused]


EVERY_KIND = [
    change(contacts=[contact()], messages=[text("m", "x")]),
    change(statuses=[status("o", "read")]),
    change(errors=[{"code": 1}]),
    standby(contacts=[contact()], messages=[text("m", "x")]),
    handover("control_passed", "escalation"),
]


@pytest.mark.parametrize("one", EVERY_KIND, ids=lambda one: f"{one['field']} {[*one['value']][-1]}")
def test_every_kind_of_item_can_be_taken_again(one: Object) -> None:
    body = hook(one)
    (refused,) = admit(body, app="unknown").refused
    ours = [event.message_id for event in events(body)]
    assert [event.message_id for event in events(refused[0].payload)] == ours


BROKEN = [
    {"timestamp": str(AT), "from": CARLA[0], "type": "text"},
    {"id": wamid("m"), "from": CARLA[0], "type": "text"},
    {"id": wamid("m"), "timestamp": "yesterday", "from": CARLA[0], "type": "text"},
    {"id": wamid("m"), "timestamp": str(AT), "type": "text"},
    {"id": "w" * 600, "timestamp": str(AT), "from": CARLA[0], "type": "text"},
    {},
    7,
    "text",
    None,
    [],
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: json.dumps(one)[:30])
def test_an_item_that_says_too_little_is_a_dead_letter_and_harms_no_neighbour(broken: Any) -> None:
    found = admit(hook(change(messages=[text("a", "x"), broken, text("b", "y")])))
    assert [event.client_message_id for event, _ in found.admitted] == [wamid("a"), wamid("b")]
    assert [str(event.reason) for event, _ in found.refused] == ["whatsapp_item_invalid"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"7",
        b"[]",
        b'{"object":"page","entry":[]}',
        b'{"object":"whatsapp_business_account","entry":7}',
        b'{"object":"whatsapp_business_account","entry":[7]}',
        b'{"object":"whatsapp_business_account","entry":[{"changes":[7]}]}',
        hook({"field": "messages", "value": 3}),
        b'{"object":"whatsapp_business_account","entry":%s}' % (b"[" * 5000 + b"]" * 5000),
    ],
    ids=lambda body: body[-20:].decode(),
)
def test_what_cannot_be_split_is_one_dead_letter(body: bytes) -> None:
    found = admit(body)
    assert found.admitted == []
    assert [(str(event.reason), owner.project_id) for event, owner in found.refused] == [("whatsapp_item_invalid", "")]


@pytest.mark.parametrize("body", [b"", b"{", b"hello", b'{"object":NaN}'])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        admit(body)


def test_lone_surrogates_are_mended_and_said_so_where_they_stood() -> None:
    body = of(text("a", "cut"), text("b", "whole")).replace(b'"cut"', b'"cut \\ud83d"')
    mended, whole = events(body)
    assert mended.context["tally"] == {"repaired": "lone_surrogates"}
    assert "tally" not in whole.context


def test_bytes_that_are_no_utf8_are_a_dead_letter_alone() -> None:
    found = admit(of(text("a", "bad"), text("b", "good")).replace(b"bad", b"b\xffd"))
    assert [event.client_message_id for event, _ in found.admitted] == [wamid("b")]
    assert [str(event.reason) for event, _ in found.refused] == ["whatsapp_item_invalid"]


def test_an_event_that_is_too_large_is_a_dead_letter_and_its_neighbour_is_none() -> None:
    found = admit(of(text("a", "x" * 40_000), text("b", "y")), directory(keep="all"))
    assert [str(event.reason) for event, _ in found.refused] == ["event_too_large"]
    assert len(found.admitted) == 1
    assert admit(of(text("a", "x" * 40_000))).refused == []  # without its text it is small


def test_a_dead_letter_that_no_message_could_hold_is_cut() -> None:
    (refused,) = admit(hook({"field": "messages", "value": "x" * 2_500_000})).refused
    assert len(refused[0].payload) < 2 * 2**20
    assert "cut" in refused[0].detail


@pytest.mark.parametrize(("at", "rule"), [(AT - 366 * 86_400, "too_old"), (AT + 7_200, "in_future")])
def test_times_beyond_all_bounds_become_received_at(at: int, rule: str) -> None:
    (event,) = events(of(text("m", "x", timestamp=str(at))))
    assert (event.timestamp, event.context["tally"]["timestamp_rule"]) == (RECEIVED_AT, rule)


def test_the_delay_is_that_of_the_oldest_item() -> None:
    body = of(text("a", "x"), text("b", "y", timestamp=str(AT - 60)))
    assert admit(body).oldest_ms == (AT - 60) * 1000


def test_a_thousand_items_are_a_thousand_events() -> None:
    whos = [(f"1202555{number:04}", f"US.{number}") for number in range(1000)]
    items = [text(f"m{number}", "x" * 2000, who=who) for number, who in enumerate(whos)]
    body = hook(change(contacts=[contact(who) for who in whos], messages=items))
    found = admit(body)
    assert len(body) > 2 * 2**20
    assert len({event.message_id for event, _ in found.admitted}) == 1000
    unknown = admit(body, app="unknown")
    # Each has its own contact, or the dead letters of one body would be its square.
    assert sum(len(event.payload) for event, _ in unknown.refused) < 2 * len(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "text", "body", "from"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=4), st.sampled_from(["messages", "statuses", "errors"]))
def test_whatever_an_array_holds_every_item_is_accounted_for(items: list[Any], member: str) -> None:
    found = admit(hook({"field": "messages", "value": {member: items, "metadata": {"phone_number_id": NUMBER}}}))
    assert len(found.admitted) + len(found.refused) == len(items)


@given(JSON, st.sampled_from(["messages", "standby", "messaging_handovers", "smb_message_echoes"]))
def test_whatever_a_change_holds_ends_somewhere(value: Any, field: str) -> None:
    found = admit(
        spelt({"object": "whatsapp_business_account", "entry": [{"changes": [{"value": value, "field": field}]}]})
    )
    assert found.outcomes.total() >= 1
