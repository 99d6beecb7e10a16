"""Fetches about HTTP authentication (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import base64
import binascii
import hmac

from trilb.base import crypt
from trilb.base.registry import Arg, Kind, optional
from trilb.config.sections import User, UserList
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, fetch, plain


def _authorization(stream: Stream) -> tuple[bytes, bytes]:
    """The scheme and the credentials, empty when there are none."""
    request = stream.request
    if request is None:
        return b"", b""
    proxy = not request.composed and not request.target.startswith((b"/", b"*"))
    value = request.get(b"proxy-authorization" if proxy else b"authorization")
    if value is None:
        return b"", b""
    scheme, _, credentials = value.partition(b" ")
    return scheme, credentials.strip()


def _basic(stream: Stream) -> tuple[bytes, bytes] | None:
    scheme, credentials = _authorization(stream)
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _users(userlist: UserList) -> dict[bytes, tuple[User, bytes]]:
    if any(not user.plain for user in userlist.users.values()):
        crypt.check_available()
    return {name.encode("latin-1"): (user, user.password.encode("latin-1")) for name, user in userlist.users.items()}


def _known(stream: Stream, users: dict[bytes, tuple[User, bytes]]) -> User | None:
    """The user whose name and password the request gives."""
    given = _basic(stream)
    found = users.get(given[0]) if given is not None else None
    if given is None or found is None:
        return None
    user, password = found
    right = hmac.compare_digest(given[1], password) if user.plain else crypt.matches(given[1], password)
    return user if right else None


@fetch("http_auth", args=(Arg("userlist", Kind.USERLIST),), gives="bool", at="request", source="7.3.6")
def http_auth(userlist: UserList) -> Fetch:
    """Whether the request gives a user and password of the userlist (Basic)."""
    users = _users(userlist)

    def run(stream: Stream) -> bool | None:
        return None if _basic(stream) is None else _known(stream, users) is not None

    return run


def _groups(userlist: UserList) -> Every:
    users = _users(userlist)

    def every(stream: Stream) -> list[bytes]:
        user = _known(stream, users)
        return [group.encode("latin-1") for group in user.groups] if user is not None else []

    return every


@fetch(
    "http_auth_group", args=(Arg("userlist", Kind.USERLIST),), gives="str", at="request", source="7.3.6",
    every=_groups,
)  # fmt: skip
def http_auth_group(userlist: UserList) -> Fetch:
    """The groups of the user the request proves to be, one of them to match."""
    every = _groups(userlist)
    return lambda stream: next(iter(every(stream)), None)


plain("http_auth_type", gives="str", at="request", source="7.3.6", doc="The scheme of the authorization.")(
    lambda stream: _authorization(stream)[0] or None
)


@plain("http_auth_user", gives="str", at="request", source="7.3.6", doc="The user name of the authorization (Basic).")
def _http_auth_user(stream: Stream) -> bytes | None:
    given = _basic(stream)
    return given[0] if given is not None else None


@plain("http_auth_pass", gives="str", at="request", source="7.3.6", doc="The password of the authorization (Basic).")
def _http_auth_pass(stream: Stream) -> bytes | None:
    given = _basic(stream)
    return given[1] if given is not None else None


@fetch("http_auth_bearer", args=(optional("header", default=""),), gives="str", at="request", source="7.3.6")
def http_auth_bearer(header: str) -> Fetch:
    """The token of a Bearer authorization, from the Authorization header or another one."""
    name = header.lower().encode("latin-1") or b"authorization"

    def run(stream: Stream) -> bytes | None:
        value = stream.request.get(name) if stream.request is not None else None
        if value is None:
            return None
        scheme, blank, token = value.partition(b" ")
        return token.strip() if blank and scheme.lower() == b"bearer" else None

    return run
