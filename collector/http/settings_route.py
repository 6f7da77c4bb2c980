"""What analytics.js and RudderStack's SDKs ask for before they send anything: the settings of their source."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from collector.http.public_url import PublicUrl
from collector.http.response import Response
from collector.projects.directory import Project

_ENABLED: Final = {"__default": {"enabled": True}}
# Kept by the browser that asked, and by no cache on the way: the body may name the host by which it was asked.
_BY_REQUEST: Final = "Cache-Control: private, max-age=120\r\n"
_BY_SETTING: Final = "Cache-Control: public, max-age=120\r\n"
_OFF: Final = {"enabled": False}


def settings_response(write_key: str, public_url: PublicUrl) -> Response:
    """The settings of a write key. public_url: where the asking page found the collector, and so where events go."""
    segment = {
        "apiKey": write_key,
        "apiHost": f"{public_url.host}/v1",
        "protocol": public_url.scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": False,
    }
    body = {
        "integrations": {"Segment.io": segment},
        "plan": {"track": _ENABLED, "identify": _ENABLED, "group": _ENABLED},
        # analytics.js reports on itself to its vendor unless it is told not to.
        "metrics": {"sampleRate": 0, "host": f"{public_url.host}/v1"},
    }
    return Response(200, msgspec.json.encode(body), headers=_BY_SETTING if public_url.is_fixed else _BY_REQUEST)


def source_config_response(project: Project) -> Response:
    """What RudderStack's browser and mobile SDKs ask their control plane for: nothing to send elsewhere."""
    moment = datetime.fromtimestamp(project.updated_at / 1000, UTC).isoformat(timespec="milliseconds")
    source = {
        "id": project.project_id,
        "name": project.name,
        "writeKey": project.write_key,
        "workspaceId": project.tenant_id,
        "enabled": True,
        "config": {"statsCollection": {"errors": _OFF, "metrics": _OFF}},
        "destinations": [],
        "connections": [],
        "updatedAt": moment,
    }
    body = msgspec.json.encode({"source": source, "updatedAt": moment, "isHosted": False})
    return Response(200, body, headers=_BY_REQUEST)
