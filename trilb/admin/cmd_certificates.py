"""Commands on certificates: show, new, set, commit, abort, del, dump ssl cert (management.txt, 9.3).

`set` collects what a certificate is to become, `commit` puts it in force for everything that uses the file, or for
nothing. Nothing is read from disk.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from trilb.admin import certificate_texts as texts
from trilb.admin.commands import View, command
from trilb.base.diagnostic import Refused
from trilb.tls import certificates
from trilb.tls.certificates import Certificate, Parts
from trilb.tls.pending import Change
from trilb.tls.store import Store

_PART = re.compile(r"(.+)\.(key|ocsp|issuer|sctl)\Z")
OTHER = "The ongoing transaction is about '{}' but you are trying to {} '{}'\n"


def split_star(name: str) -> tuple[str, bool]:
    """A file's name, and whether its change is meant (`*NAME`); a backslash protects a name that begins with `*`."""
    if name.startswith("*"):
        return name[1:], True
    return (name[1:] if name.startswith("\\*") else name), False


@command("show ssl cert", source="9.3", level="operator")
def show_cert(view: View, words: list[str]) -> str:
    """show ssl cert [[*]<certfile>]: certificates in memory, or what one says (*: as it will be after commit)"""
    store = view.tls
    if not words:
        change = store.changed_certificate
        said = f"# transaction\n*{change.path}\n" if change is not None else ""
        return said + "# filename\n" + "".join(f"{name}\n" for name in sorted(store.certificates))
    name, changing = split_star(words[0])
    if changing:
        change = store.changed_certificate
        if change is not None and change.path == name:
            status = "Empty" if change.found.leaf is None else "Unused"
            return texts.certificate_file(f"*{name}", status, change.found)
    elif name in store.certificates:
        certificate = store.certificates[name]
        if certificate is None:
            return texts.certificate_file(name, "Empty", Parts())
        parts = replace(certificate.parts(), chain=certificate.chain)
        status = "Used" if store.uses_certificate(name) else "Unused"
        return texts.certificate_file(name, status, parts, certificate.chain_file)
    return "Can't display the certificate: Not found or the certificate is a bundle!\n"


@command("dump ssl cert", source="9.3", level="admin")
def dump_cert(view: View, words: list[str]) -> str:
    """dump ssl cert [*]<certfile>: a certificate with its key and its chain, as PEM"""
    if not words:
        return "'dump ssl cert' expects a filename\n"
    name, changing = split_star(words[0])
    parts = None
    if changing:
        change = view.tls.changed_certificate
        parts = change.found if change is not None and change.path == name else None
    elif (certificate := view.tls.certificates.get(name)) is not None:
        parts = certificate.parts()
    if parts is None:
        return "Can't dump the certificate: Not found or the certificate is a bundle!\n"
    every = [each.public_bytes(Encoding.PEM) for each in (parts.leaf, *parts.chain) if each is not None]
    return b"".join((parts.key, *every)).decode("latin-1")


@command("new ssl cert", source="9.3", level="admin")
def new_cert(view: View, words: list[str]) -> str:
    """new ssl cert <certfile>: a name for a certificate that is to come"""
    if not words:
        return "'new ssl cert' expects a filename\n"
    if words[0] in view.tls.certificates or words[0] in view.tls.bundles:
        return f"Certificate '{words[0]}' already exists!\n"
    view.tls.certificates[words[0]] = None
    return f"New empty certificate store '{words[0]}'!\n"


@command("set ssl cert", source="9.3", level="admin", payload=True)
def set_cert(view: View, words: list[str], payload: str) -> str:
    """set ssl cert <certfile>[.key|.ocsp|.issuer] <payload>: what a certificate is to become with commit"""
    if not words or not payload:
        return "'set ssl cert expects a filename and a certificate as a payload\n"
    store, given = view.tls, words[0]
    path, kind = _resolve(store, given)
    change = store.changed_certificate
    if change is not None and path != change.path:
        return OTHER.format(change.path, "set", given) + f"Can't update {given}!\n"
    if path not in store.certificates:
        text = "Can't replace a certificate which is not referenced by the configuration!\n"
        return text + f"Can't update {given}!\n"
    certificate = store.certificates[path]
    before = change.found if change is not None else certificate.parts() if certificate is not None else Parts()
    try:
        parts = _READ[kind](path, payload.encode("latin-1", "replace"), before)
    except Refused as refused:
        return f"{refused.text}\nCan't load the payload\nCan't update {given}!\n"
    store.changed_certificate = Change(path, parts)
    return f"Transaction {'created' if change is None else 'updated'} for certificate {path}!\n"


def _resolve(store: Store, given: str) -> tuple[str, str]:
    """The certificate that a name means, and which part of it."""
    match = _PART.match(given)
    if given in store.certificates or match is None:
        return given, ""
    if match[1] not in store.certificates and store.settings.tls_strip:
        return f"{match[1]}.crt", match[2]
    return match[1], match[2]


def _read_all(path: str, payload: bytes, parts: Parts) -> Parts:
    try:
        return certificates.read_parts(path, payload)
    except Refused as refused:
        if "a certificate from" in refused.text:
            raise Refused(f"unable to load certificate from file '{path}'.") from None
        raise


def _read_key(path: str, payload: bytes, parts: Parts) -> Parts:
    try:
        return replace(parts, key=certificates.read_key(path, payload))
    except Refused as refused:
        if "passphrase" in refused.text:
            raise
        raise Refused(f"unable to load private key from file '{path}'.") from None


def _read_issuer(path: str, payload: bytes, parts: Parts) -> Parts:
    try:
        return replace(parts, issuer=certificates.authorities(path, payload)[0])
    except Refused:
        raise Refused(f"'{path}' cannot be read or parsed'.") from None


def _read_ocsp(path: str, payload: bytes, parts: Parts) -> Parts:
    try:
        found = base64.b64decode(b"".join(payload.split()), validate=True)
    except binascii.Error:
        raise Refused("Error reading OCSP response in base64 format") from None
    try:
        answer = ocsp.load_der_ocsp_response(found)
    except ValueError:
        raise Refused("Unable to parse OCSP response") from None
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Refused("OCSP response status not successful")
    return replace(parts, ocsp=found)


def _read_sctl(path: str, payload: bytes, parts: Parts) -> Parts:
    raise Refused("lists of signed certificate timestamps are not served by trilb")


_READ = {"": _read_all, "key": _read_key, "issuer": _read_issuer, "ocsp": _read_ocsp, "sctl": _read_sctl}


@command("commit ssl cert", source="9.3", level="admin")
def commit_cert(view: View, words: list[str]) -> str:
    """commit ssl cert <certfile>: put what was set in force"""
    if not words:
        return "'commit ssl cert expects a filename\n"
    store, change = view.tls, view.tls.changed_certificate
    failed = f"Can't commit {words[0]}!\n"
    if change is None:
        return f"No ongoing transaction! !\n{failed}"
    if change.path != words[0]:
        return OTHER.format(change.path, "set", words[0]) + failed
    if change.found.leaf is None or not change.found.key:
        return f"The transaction must contain at least a certificate and a private key!\n{failed}"
    try:
        uses = store.replace(change.path, _finish(store, change))
    except Refused as refused:
        return f"{refused.text}\n{failed}"
    store.changed_certificate = None
    return f"Committing {change.path}{'.' * uses}\nSuccess!\n"


def _finish(store: Store, change: Change[Parts]) -> Certificate:
    try:
        made = certificates.finish(change.path, change.found)
    except Refused:
        raise Refused(f"inconsistencies between private key and certificate loaded '{change.path}'.") from None
    store.complete(made)
    return made


@command("abort ssl cert", source="9.3", level="admin")
def abort_cert(view: View, words: list[str]) -> str:
    """abort ssl cert <certfile>: forget what was set"""
    if not words:
        return "'abort ssl cert' expects a filename\n"
    change = view.tls.changed_certificate
    if change is None:
        return "No ongoing transaction!\n"
    if change.path != words[0]:
        return OTHER.format(change.path, "abort a transaction for", words[0])
    view.tls.changed_certificate = None
    return f"Transaction aborted for certificate '{words[0]}'!\n"


@command("del ssl cert", source="9.3", level="admin")
def del_cert(view: View, words: list[str]) -> str:
    """del ssl cert <certfile>: forget a certificate that nothing uses"""
    if not words:
        return "'del ssl cert' expects a certificate name\n"
    store, name = view.tls, words[0]
    if store.changed_certificate is not None and store.changed_certificate.path == name:
        return f"Can't remove the certificate: ongoing transaction for the certificate '{name}'\n"
    if name not in store.certificates:
        return f"Can't remove the certificate: certificate '{name}' doesn't exist!\n\n"
    if store.uses_certificate(name):
        return f"Can't remove the certificate: certificate '{name}' in use, can't be deleted!\n\n"
    del store.certificates[name]
    store.bundles.pop(name, None)
    return f"Certificate '{name}' deleted!\n"
