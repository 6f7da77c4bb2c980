"""The file of secrets: which apps at Meta may post here, and by what their POSTs are known.

    {"shop": {"app_secrets": ["now", "before"], "verify_token": "…", "header": "X-Hub-Signature-256"}}

Not in the topic `projects`: that is read by all processes and stands in ClickHouse, where analysts see it.
"""

import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

_log: Final = structlog.get_logger()
_BYTES_MAX: Final = 2**20
_NAME: Final = re.compile(r"[a-z0-9_-]{1,50}")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SECRETS_MAX: Final = 10


class AppsFileError(ValueError):
    """The file cannot be used; the text says why, and never what stands in it."""


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One app. app_secrets: those that count, several while one is replaced; verify_token: of Meta's check by GET."""

    app_secrets: tuple[str, ...]
    verify_token: str
    header: str = "X-Hub-Signature-256"

    def secrets(self) -> list[bytes]:
        """The secrets as keys."""
        return [secret.encode() for secret in self.app_secrets]

    def is_verify_token(self, text: str) -> bool:
        """Whether Meta's check has the token that was typed in there."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.verify_token.encode())


_Stamp = tuple[int, int, int]


class Apps:
    """The apps in a file, read again when it changes; without a file there are none.

    A file that cannot be used is an AppsFileError at first. Later the apps stay as they were, and the log says why.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._apps: Mapping[str, App] = {}
        self._stamp: _Stamp | None = None
        if self._path is not None:
            self._stamp = _stamp(self._path)
            self._apps = read_apps(self._path)

    def find(self, name: str) -> App | None:
        """The app of this name, by the file as it is now."""
        if self._path is not None and (stamp := _stamp(self._path)) != self._stamp:
            self._stamp = stamp
            try:
                self._apps = read_apps(self._path)
                _log.info("secrets of apps read again", apps=sorted(self._apps))
            except AppsFileError as error:
                _log.error("secrets of apps stay as they were", error=str(error))
        return self._apps.get(name)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._apps)


def read_apps(path: Path) -> dict[str, App]:
    """The apps in a file. Raises AppsFileError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise AppsFileError(f"{path}: others than its owner may read or write it: chmod 600")
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise AppsFileError(f"{path}: {error.strerror or error}") from None
    if len(content) > _BYTES_MAX:
        raise AppsFileError(f"{path}: larger than {_BYTES_MAX} bytes")
    try:
        apps = msgspec.json.decode(content, type=dict[str, App])
    except (ValueError, RecursionError) as error:
        raise AppsFileError(f"{path}: {error}") from None
    for name, app in apps.items():
        _check(path, name, app)
    return apps


def _check(path: Path, name: str, app: App) -> None:
    if not _NAME.fullmatch(name):
        raise AppsFileError(f"{path}: an app's name has 1 to 50 characters a-z 0-9 _ -, this is {name!r}")
    if not 0 < len(app.app_secrets) <= _SECRETS_MAX or not all(app.app_secrets):
        raise AppsFileError(f"{path}: {name}.app_secrets: 1 to {_SECRETS_MAX}, none of them empty")
    if not app.verify_token:
        raise AppsFileError(f"{path}: {name}.verify_token is empty")
    if not _HEADER.fullmatch(app.header):
        raise AppsFileError(f"{path}: {name}.header is no name of a header")


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
