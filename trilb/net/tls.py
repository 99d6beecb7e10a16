"""TLS contexts from what a configuration says. Files are read at load only."""

from __future__ import annotations

import os
import ssl
from typing import Protocol

from trilb.base.diagnostic import Refused


class TlsLine(Protocol):
    """What a line says of TLS; files by their names, `verify` none, optional, required or "" for the default."""

    crt: str
    ca_file: str
    crl_file: str
    verify: str
    verify_host: str


def server_context(line: TlsLine) -> ssl.SSLContext:
    """For who accepts: `crt`, and with `ca-file` and `verify` whom it trusts. Raises Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _identity(context, line.crt)
    verify = line.verify or "none"
    if verify != "none":
        _trust(context, line, "bind")
        context.verify_mode = ssl.CERT_REQUIRED if verify == "required" else ssl.CERT_OPTIONAL
    return context


def client_context(line: TlsLine) -> ssl.SSLContext:
    """For who connects; without `verify none` a `ca-file` is needed. Raises Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    if line.crt:
        _identity(context, line.crt)
    if line.verify == "none":
        context.verify_mode = ssl.CERT_NONE
        return context
    _trust(context, line, "server")
    context.check_hostname = bool(line.verify_host)
    return context


def _identity(context: ssl.SSLContext, path: str) -> None:
    """The certificate, its chain and its key, from one file or with the key in a second one called FILE.key."""
    key = path + ".key" if os.path.exists(path + ".key") else None
    try:
        context.load_cert_chain(path, key)
    except ssl.SSLError as error:
        raise Refused(f"'crt' : unable to load a certificate and its key from '{path}': {error.reason}") from None
    except OSError as error:
        raise Refused(f"'crt' : unable to read '{path}': {error.strerror}") from None


def _trust(context: ssl.SSLContext, line: TlsLine, where: str) -> None:
    if not line.ca_file:
        raise Refused(f"'{where} ... ssl' with 'verify' needs a 'ca-file' (or say 'verify none')")
    for path, what in ((line.ca_file, "ca-file"), (line.crl_file, "crl-file")):
        if not path:
            continue
        try:
            if path == "@system-ca":
                context.load_default_certs()
            else:
                context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise Refused(f"'{what}' : nothing usable in '{path}': {error.reason}") from None
        except OSError as error:
            raise Refused(f"'{what}' : unable to read '{path}': {error.strerror}") from None
    if line.crl_file:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
