"""Converters for numbers of the TLS library (configuration.txt, section 7.3.1)."""

from __future__ import annotations

from trilb.config.keywords.secure import VERIFY_ERRORS
from trilb.samples.types import Convert, Value, converter

_NAMES = {number: f"X509_V_ERR_{name}".encode() for name, number in VERIFY_ERRORS.items()} | {0: b"X509_V_OK"}


@converter("x509_v_err_str", takes="sint", gives="str", source="7.3.1")
def x509_v_err_str() -> Convert:
    """The name of a verification error's number, as `ssl_c_verify` gives it; the number itself when it has none."""

    def run(value: Value) -> bytes:
        number = int(value)
        return _NAMES.get(number, str(number).encode())

    return run
