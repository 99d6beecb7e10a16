"""Passwords against the system's crypt(3), which knows the hashes of the system's own password file."""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
from functools import lru_cache

from trilb.base.diagnostic import Refused


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        raise Refused(f"hashed passwords need the system's {name}; write 'insecure-password' instead") from None
    library.crypt.restype = ctypes.c_char_p
    library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    return library


@lru_cache(maxsize=1024)
def matches(password: bytes, hashed: bytes) -> bool:
    """Whether the password has that hash. Hashing is slow on purpose, so the last verdicts are remembered."""
    if b"\0" in password:
        return False
    made = _library().crypt(password, hashed)
    return made is not None and hmac.compare_digest(made, hashed)


def check_available() -> None:
    """Raise Refused when the system has no crypt(3)."""
    _library()
