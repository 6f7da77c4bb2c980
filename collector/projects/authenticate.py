"""Whose events these are: the write key, from wherever an SDK puts it."""

import base64
from collections.abc import Iterator
from typing import Final

import msgspec

from collector.errors import Refusal, RefusedRequest
from collector.projects.directory import Project, ProjectDirectory

_BASIC: Final = "basic "


class Credentials(msgspec.Struct, gc=False):
    """The places outside the body where a write key may stand."""

    authorization: str | None
    x_write_key: str | None
    query_key: str | None

    def given(self) -> Iterator[str]:
        """The write keys given, the likeliest first."""
        for key in (_user_name(self.authorization or ""), self.x_write_key, self.query_key):
            if key:
                yield key

    def may_be_of_another_server(self) -> bool:
        """Whether the only key goes with a password: browsers send a site's own to all that is on its host."""
        if self.x_write_key or self.query_key:
            return False
        _, is_parted, password = _basic(self.authorization or "").partition(":")
        return bool(is_parted and password)


def find_project(directory: ProjectDirectory, credentials: Credentials) -> Project | None:
    """The project of the first known key; None when only the body can tell."""
    if credentials.authorization is not None:
        # As SDKs write it, the whole header is known: nothing is decoded.
        project = directory.by_authorization(credentials.authorization)
        if project is not None:
            return project
    for key in credentials.given():
        if (project := _by_key(directory, key)) is not None:
            return project
    return None


def find_early(directory: ProjectDirectory, credentials: Credentials) -> Project | None:
    """The project of a request whose body has not been looked at; None when only the body can tell.

    Raises RefusedRequest when no body could help.
    """
    project = find_project(directory, credentials)
    if project is None:
        if any(credentials.given()) and not credentials.may_be_of_another_server():
            raise RefusedRequest(Refusal.KEY_UNKNOWN)
    elif project.is_disabled:
        raise RefusedRequest(Refusal.PROJECT_DISABLED)
    return project


def require_project(
    directory: ProjectDirectory, found: Project | None, credentials: Credentials, body_key: str | None
) -> Project:
    """The project found, or that of the body's key. Raises RefusedRequest that names what is amiss."""
    project = found or (_by_key(directory, body_key) if body_key else None)
    if project is None:
        is_given = body_key or any(credentials.given())
        raise RefusedRequest(Refusal.KEY_UNKNOWN if is_given else Refusal.KEY_MISSING)
    if project.is_disabled:
        raise RefusedRequest(Refusal.PROJECT_DISABLED)
    return project


def _by_key(directory: ProjectDirectory, key: str) -> Project | None:
    # Jitsu's SDKs send id:secret; the id is the public part.
    return directory.by_key(key) or directory.by_key(key.partition(":")[0])


def _user_name(authorization: str) -> str:
    """The write key of a Basic header, with or without the colon; '' for other schemes."""
    return _basic(authorization).partition(":")[0]


def _basic(authorization: str) -> str:
    """What a Basic header says: `user:password`; '' for other schemes, and for what cannot be decoded."""
    if authorization[: len(_BASIC)].lower() != _BASIC:
        return ""
    try:
        return base64.b64decode(authorization[len(_BASIC) :].strip() + "==").decode()
    except ValueError:  # no base64, no UTF-8, or not even ASCII
        return ""
