"""What a context says of the device where its user agent does not: context.os, context.device, userAgentData. Pure."""

import re
import sys
from typing import NamedTuple

from streams.events.lookups.user_agents import UserAgent, kind_of_device, system_name

SEPARATOR = "\x1f"
# The first version of Windows's interface that Windows 11 reports, as browsers do with the frozen `NT 10.0`.
_WINDOWS_11 = 13
_WINDOWS_BEFORE_10 = {"0.1": "7", "0.2": "8", "0.3": "8.1"}
_NAME_CHARS_MAX = 64
_VERSION = re.compile(r"\d[\w.+-]{0,30}", re.ASCII).fullmatch


class Hints(NamedTuple):
    """Texts as sent, '' for none: context.os.{name,version}, context.device.{type,model,name}, userAgentData.{platform,
    platformVersion,model,mobile}."""

    os_name: str
    os_version: str
    type: str
    model: str
    name: str
    platform: str
    platform_version: str
    agent_model: str
    mobile: str

    def pack(self) -> str:
        """One text, equal for equal hints; a separator within one of them is lost."""
        return SEPARATOR.join(text.replace(SEPARATOR, "") for text in self)


def refine(agent: UserAgent, hints: Hints) -> UserAgent:
    """The agent's answer with what the hints know better.

    - A browser that says its system's version in userAgentData has frozen it in the user agent: Windows 11 is `NT 10.0`
      there, every Android 10, every macOS 10.15.7.
    - Where the agent names no system (an app's own, or a library's), context.os and context.device do; of the same
      system context.os knows the version.
    - A model that is a television's or a tablet's says so where the agent does not.
    """
    os_name, os_version, device_type = agent.os_name, agent.os_version, agent.device_type
    told_name, told_version = system_name(hints.os_name[:_NAME_CHARS_MAX]), _version(hints.os_version)
    platform = system_name(hints.platform[:_NAME_CHARS_MAX])
    if not os_name:
        os_name = told_name or platform
        os_version = told_version if told_name else ""
        model = f"{hints.model} {hints.name} {hints.agent_model}"
        device_type = kind_of_device(os_name, hints.type, model, hints.mobile) or device_type
    elif told_name == os_name and told_version:
        os_version = told_version
    if platform == os_name and hints.platform_version:
        os_version = _platform_version(os_name, hints.platform_version) or os_version
    model = hints.agent_model or hints.model
    if device_type in ("mobile", "tablet") and model:
        device_type = kind_of_device(os_name, device_type, model, "")
    fields = (device_type, os_name, os_version, agent.browser_name, agent.browser_version)
    return UserAgent(*map(sys.intern, fields))


def _version(text: str) -> str:
    """A version without the zeros at its end; '' for what is none."""
    if not _VERSION(text):
        return ""
    while text.endswith(".0"):
        text = text[:-2]
    return text


def _platform_version(os_name: str, text: str) -> str:
    version = _version(text)
    if os_name != "Windows" or not version:
        return version
    major = version.partition(".")[0]
    if major == "0":
        return _WINDOWS_BEFORE_10.get(version, "")
    return "11" if major.isdigit() and int(major) >= _WINDOWS_11 else "10"
