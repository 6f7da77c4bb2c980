"""User agent text → device type, operating system and browser."""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import ua_parser
from ua_parser.core import Domain


class UserAgent(NamedTuple):
    """Families and versions as ua-parser names them; '' where nothing is known."""

    device_type: str
    os_name: str
    os_version: str
    browser_name: str
    browser_version: str


NO_USER_AGENT = UserAgent("", "", "", "", "")

_DESKTOP_SYSTEMS = frozenset(
    [
        "Windows",
        "Mac OS X",
        "Mac OS",
        "Chrome OS",
        "Linux",
        "Ubuntu",
        "Kubuntu",
        "Debian",
        "Fedora",
        "Red Hat",
        "CentOS",
        "SUSE",
        "Mandriva",
        "Linux Mint",
        "Mageia",
        "Slackware",
        "Arch Linux",
        "Gentoo",
        "FreeBSD",
        "OpenBSD",
        "NetBSD",
        "Solaris",
    ]
)
_MOBILE_SYSTEMS = frozenset(
    [
        "iOS",
        "Windows Phone",
        "Windows Mobile",
        "Windows CE",
        "BlackBerry OS",
        "Symbian OS",
        "Symbian^3",
        "Symbian^3 Anna",
        "Symbian^3 Belle",
        "Nokia Series 40",
        "Bada",
        "Firefox OS",
        "KaiOS",
        "Tizen",
        "webOS",
        "Maemo",
        "MeeGo",
        "HarmonyOS",
    ]
)
# Names that SDKs give to systems, as ua-parser names them; iPadOS is an iOS to it.
_SYSTEM_NAMES = {
    "ios": "iOS", "ipados": "iOS", "iphone os": "iOS", "android": "Android", "windows": "Windows", "win32": "Windows",
    "macos": "Mac OS X", "mac os x": "Mac OS X", "mac os": "Mac OS X", "os x": "Mac OS X", "mac": "Mac OS X",
    "linux": "Linux", "chrome os": "Chrome OS", "chromium os": "Chrome OS", "chromeos": "Chrome OS", "tizen": "Tizen",
    "watchos": "watchOS", "tvos": "tvOS", "apple tvos": "tvOS", "visionos": "visionOS", "webos": "webOS",
    "fireos": "Android", "fire os": "Android", "harmonyos": "HarmonyOS", "openharmony": "HarmonyOS",
}  # fmt: skip
# Screens of neither a desktop nor a hand-held device: calling them desktops would be a guess.
_TELEVISION = re.compile(
    r"\bTV\b|Android ?TV|SmartTV|SMART-TV|GoogleTV|AppleTV|Apple TV|\btvOS\b|BRAVIA|\bAFT[A-Z]|CrKey|Roku|HbbTV|NetCast"
    r"|Web0S|PlayStation|Xbox|Nintendo|\bViera\b|Opera TV|\bDLNADOC|\bCE-HTML\b|Nexus Player|SHIELD Android"
)
# The model that an Android user agent names: `…; Android 9; de-de; MODEL Build/…` or `…; MODEL)`.
_ANDROID_MODEL = re.compile(r"Android[^;)]*;\s*(?:[a-z]{2}[-_][A-Za-z]{2};\s*)?([^;)]*)")
# Makers call televisions and what is plugged into them so; HTV31 is a phone, as is every model with a word before TV in
# capitals and digits behind it.
_TELEVISION_MODEL = re.compile(
    r"(?<![A-Z])TV|(?<!\bB)TV\b|(?i:tv[ _-]?(?:box|stick|dongle)|set-?top|\bbox\b|mi ?box|\bbox\d|[a-z]box\d?\b|\bSTB"
    r"|STB\b|chromecast|\bstick\b|\bdongle\b|projector|\bAFT[A-Z]|BRAVIA|\bHMP\b|\bADT-\d|\bIPTV)"
)
# `Tablet PC` is a component of desktop Windows that old Internet Explorers name.
_TABLET = re.compile(
    r"iPad|Tablet(?! PC)|PlayBook|Kindle|Silk(?!.*Mobile)|\bKF[A-Z]{2,}|Nexus (?:7|9|10)\b|\bSM-[TXP]\d|\bGT-[NP]\d"
)
# How tablets are called whose Android programs, unlike browsers, do not say by the word Mobile what they are not.
_TABLET_MODEL = re.compile(
    r"(?i:\b(?:\w*tab|\w*pad)\b|\b(?:lenovo )?(?:TB|YT)-?[X\dJ]\w*|mediapad|transformer|\bslate\b)"
    r"|\b(?:AGS|BAH|JDN|SHT|MRX|SCM|SCMR|CMR|VRD|KOB|BTV|AGR|DBY|BZT|WGR|BTK)\d?-[WAL]\d\d|\bPixel C\b|\bOPD\d|\bRMP\d"
)
_MOBILE_TOKEN = re.compile(r"Mobile|Mobi\b|Opera Mini|Opera Mobi")
# The HTTP stacks of Android apps name the system but never say Mobile.
_ANDROID_APP = re.compile(r"\bDalvik/|okhttp")
# Browsers inside apps that ua-parser takes for the system's own; named as it names them where it does.
_IN_APPS = re.compile(
    r"(?P<TikTok>(?:musical_ly|trill|TikTok|BytedanceWebview|ByteLocale|AwemeI?18n)[_/ ]?)"
    r"|(?P<WeChat_Browser>MicroMessenger/)|(?P<Facebook>FBA[NV]/|FB_IAB/)|(?P<Instagram>Instagram )"
    r"|(?P<Threads>Barcelona )|(?P<Snapchat>Snapchat[/ ])|(?P<LinkedIn>LinkedInApp\]?/?)|(?P<Google>GSA/)"
    r"|(?P<Telegram>Telegram(?:-Android)?[/ ])|(?P<KakaoTalk>KAKAOTALK[/ ])|(?P<LINE>\bLine/)"
    r"|(?P<Reddit>Reddit/)|(?P<Discord>Discord/)|(?P<Viber>Viber/)|(?P<Yandex>YaApp_\w+/)"
    r"|(?P<Baidu_Box>baiduboxapp/)|(?P<QQ>\bQQ/)|(?P<Alipay>AlipayClient/)|(?P<Microsoft_Teams>Teams(?:Mobile)?(?:-\w+)?/)"
    r"|(?P<Slack>Slack/)|(?P<Zhihu>ZhihuHybrid|com\.zhihu\.android)|(?P<Kwai>Kwai\w*/)|(?P<Xiaohongshu>(?i:XiaoHongShu)/?)"
    r"|(?P<Zalo>Zalo[/ ])|(?P<VK>VKAndroidApp/|vkclient/)|(?P<Naver>NAVER\(inapp;)"
)
_SYSTEM_BROWSERS = frozenset(
    (
        *("Mobile Safari UI/WKWebView", "Chrome Mobile WebView", "Chrome Mobile", "Chrome", "Android", "Mobile Safari"),
        *("Safari", "Samsung Internet", "Chrome Mobile iOS", "Apple Mail", ""),
    )
)
_VERSION_BEHIND = re.compile(r"\d+(?:\.\d+){0,3}").match


def parser() -> Callable[[str], UserAgent]:
    """A function that parses one user agent, about 35 µs each: put it behind a cache.

    Raises RuntimeError when ua-parser's Rust core is absent: the pure Python one takes milliseconds a user agent.
    """
    if ua_parser.RegexResolver is None:
        raise RuntimeError("ua-parser without its Rust core: install ua-parser-rs")
    resolve = ua_parser.RegexResolver(ua_parser.load_lazy_builtins())

    def parse(text: str) -> UserAgent:
        if not text:
            return NO_USER_AGENT
        found = resolve(text, Domain.USER_AGENT | Domain.OS)
        system, browser = found.os, found.user_agent
        os_name = system.family if system else ""
        browser_name = browser.family if browser else ""
        browser_version = _version(browser.major, browser.minor, browser.patch, browser.patch_minor) if browser else ""
        if browser_name in _SYSTEM_BROWSERS and (app := _IN_APPS.search(text)) and "Mozilla/" in text:
            behind = _VERSION_BEHIND(text, app.end())
            browser_name = (app.lastgroup or "").replace("_", " ")
            browser_version = behind[0] if behind else ""
        fields = (
            device_type(text, os_name),
            os_name,
            _version(system.major, system.minor, system.patch, system.patch_minor) if system else "",
            browser_name,
            browser_version,
        )
        # Interned: thousands of cached user agents share a few strings, which stay in the processor's cache.
        return UserAgent(*map(sys.intern, fields))

    return parse


def device_type(text: str, os_name: str) -> str:
    """desktop, mobile, tablet, or '' for televisions, consoles, servers and what names no system.

    In this order: a television is none of the three; a tablet says so (iPad, Tablet, Kindle, a tablet's model number);
    an Android browser is a phone's when it says Mobile and a tablet's otherwise, as Google asks browsers to do;
    the rest follows from the operating system. An iPad that asks for desktop pages says Macintosh: nothing tells.
    """
    if _TELEVISION.search(text):
        return "desktop" if "Xbox" not in text and os_name == "Windows" else ""
    named = _ANDROID_MODEL.search(text) if os_name == "Android" else None
    model = named[1].partition(" Build/")[0] if named else ""
    if _TELEVISION_MODEL.search(model):
        return ""
    if _TABLET.search(text):
        return "tablet"
    if os_name == "Android":
        if _MOBILE_TOKEN.search(text):
            return "mobile"
        return "mobile" if _ANDROID_APP.search(text) and not _TABLET_MODEL.search(model) else "tablet"
    if os_name in _MOBILE_SYSTEMS:
        return "mobile"
    if os_name in _DESKTOP_SYSTEMS:
        return "desktop"
    return "mobile" if _MOBILE_TOKEN.search(text) else ""


def system_name(name: str) -> str:
    """The name that ua-parser has for a system; one that it does not know stays as it is."""
    return _SYSTEM_NAMES.get(name.strip().lower(), name.strip())


def kind_of_device(os_name: str, kind: str, model: str, mobile: str) -> str:
    """The same from what an SDK says of its device: its system, kind, model and names, and whether it is `mobile`."""
    kind = kind.strip().lower()
    if os_name in ("tvOS", "watchOS", "Roku") or kind in ("tv", "television", "smarttv", "console", "watch"):
        return ""
    if _TELEVISION.search(model) or _TELEVISION_MODEL.search(model):
        return ""
    if kind in ("tablet", "ipad") or _TABLET.search(model) or _TABLET_MODEL.search(model):
        return "tablet"
    if kind in ("desktop", "pc", "computer", "laptop", "macos", "windows") or os_name in _DESKTOP_SYSTEMS:
        return "desktop"
    if os_name == "Android" and mobile == "false" and not kind:
        return "tablet"
    of_a_hand = kind in ("mobile", "phone", "smartphone", "handset", "iphone", "ios", "android")
    return "mobile" if of_a_hand or os_name == "Android" or os_name in _MOBILE_SYSTEMS or mobile == "true" else ""


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)
