"""Times as languages write them when nobody asks for ISO 8601; only forms that can be read in one way.

    2026-11-25 15:51:30.123456789 +0000 UTC m=+0.01      Go, time.Time.String
    2026-11-25 15:51:30 +0000                            Ruby, Time#to_s
    2026-11-25T15:51:30+01:00[Europe/Paris]              Java, ZonedDateTime.toString
    Wed Nov 25 15:51:30 UTC 2026                         Java, Date.toString; ctime, date(1)
    Wed Nov 25 2026 15:51:30 GMT+0100 (…)                JavaScript, Date.toString
    Wed, 25 Nov 2026 15:51:30 GMT                        RFC 1123, RFC 2822, JavaScript's toUTCString; RFC 850
    2026/11/25 3:51:30 PM                                year first, with or without halves of the day
    /Date(1795621890000)/                                .NET, JSON of WCF
    20261125155130, 20261125                             digits alone, year to second or day

Digits may be those of any script. Where a locale's calendar differs from ours in its years alone, the year says so:
2569 is Buddhist (Thailand), 8 is Japan's era Reiwa, 115 is Minguo (Taiwan). Calendars with months of their own are not
read: their dates can be mistaken. Nor are 11/12/2026 and names of zones that several countries use.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

CHARS_MAX: Final = 128

_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS: Final = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_ZONES: Final = {
    **dict.fromkeys(("", "z", "utc", "gmt", "ut"), 0),
    # RFC 2822 gives these of America to everyone; of the others only those that nobody else uses.
    "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "wet": 0, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9, "kst": 9,
}  # fmt: skip
_TIME: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
_HALF: Final = r"(?:\s*(?P<half>[ap])\.?m\.?)?"
# An offset counts; the name that languages put behind it repeats it.
_ZONE: Final = (
    r"\s*(?:(?:(?:utc|gmt)?(?P<offset>[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?)(?:\s+(?:[a-z]{1,5}|[+-]\d{2,4}))?"
    r"|(?P<zone>[a-z]{1,4}))(?:\s*\([^()]*\)|\[[\w/+:-]+\])?(?:\s+m=[+-][\d.]+)?)?"
)
_DAY_NAME: Final = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_MONTH: Final = r"(?P<month>[a-z]{3,9})\.?"


def _form(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(pattern, re.ASCII | re.IGNORECASE).fullmatch


_DAY_FIRST: Final = _form(
    rf"{_DAY_NAME}(?P<day>\d{{1,2}})[ -]{_MONTH}[ -](?P<year>\d{{2}}|\d{{4}}),?\s+{_TIME}{_HALF}{_ZONE}"
)
_FORMS_OF_DIGITS: Final = (
    _form(
        r"(?P<year>\d{1,4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
        rf"(?:(?:\s*t\s*|,?\s+){_TIME}{_HALF}{_ZONE})?"
    ),
    _form(r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?:(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d))?"),
    _DAY_FIRST,
)
_FORMS_OF_NAMES: Final = (
    _form(rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}}),?\s+{_TIME}{_HALF}{_ZONE}"),
    _DAY_FIRST,
    _form(rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_TIME}(?:\s+(?P<zone>[a-z]{{1,4}}))?\s+(?P<year>\d{{4}})"),
)
_DOT_NET: Final = re.compile(r"\\?/Date\((\d+)(?:[+-]\d{4})?\)\\?/", re.ASCII).fullmatch
_SPACES: Final = re.compile(r"\s+")
# Marks of direction, and the decimal point of Arabic.
_REPLACED: Final = str.maketrans({**dict.fromkeys("\u200e\u200f\u061c\ufeff"), "\u066b": ".", "\u2212": "-"})


def plain(text: str) -> str:
    """The text with ASCII digits, single blanks and no marks of direction, none of them at its ends."""
    if not text.isascii():
        text = text.translate(_REPLACED)
        text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    return _SPACES.sub(" ", text).strip()


def gregorian_year(year: int) -> int:
    """The year of our calendar when the number can only be of another one whose months are ours."""
    if 1900 <= year < 2443:
        return year
    if 2443 <= year < 2643:
        return year - 543
    if 2 <= year < 90:
        return year + 2018
    return year + 1911 if 90 <= year < 190 else year


def milliseconds_of_date(text: str) -> int | None:
    """The number in .NET's `/Date(…)/`."""
    match = _DOT_NET(text)
    return int(match[1]) if match else None


def moment_of(text: str) -> datetime | None:
    """The moment that a text from `plain` names, in UTC; None when it has none of the forms. Never raises."""
    for form in _FORMS_OF_DIGITS if text[:1].isdigit() else _FORMS_OF_NAMES:
        if match := form(text):
            try:
                return _moment(match.groupdict())
            except (ValueError, OverflowError):
                return None
    return None


def _moment(parts: dict[str, str | None]) -> datetime | None:
    month = parts["month"] or ""
    number = int(month) if month.isdigit() else _MONTHS.get(month[:3].lower(), 0)
    offset = _offset(parts.get("offset"), parts.get("zone"))
    hour = _hour(int(parts["hour"] or 0), parts.get("half"))
    if offset is None or hour is None:
        return None
    year = parts["year"] or ""
    local = datetime(
        2000 + int(year) if month.isalpha() and len(year) == 2 else gregorian_year(int(year)),
        number,
        int(parts["day"] or 0),
        hour,
        int(parts["minute"] or 0),
        min(int(parts["second"] or 0), 59),  # a leap second
        int((parts.get("fraction") or "0")[:6].ljust(6, "0")),
        UTC,
    )
    return local - offset


def _hour(hour: int, half: str | None) -> int | None:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        return hour if hour < 24 else None  # 15:51 PM, as some phones write it
    return hour % 12 + (12 if half in "pP" else 0)


def _offset(offset: str | None, zone: str | None) -> timedelta | None:
    if offset is None:
        hours = _ZONES.get((zone or "").lower())
        return None if hours is None else timedelta(hours=hours)
    digits = offset[1:].replace(":", "")
    digits = digits.zfill(2) if len(digits) < 3 else digits.zfill(4) if len(digits) < 5 else digits.zfill(6)
    found = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0), seconds=int(digits[4:6] or 0))
    return -found if offset[0] == "-" else found
