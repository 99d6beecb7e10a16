"""What `bind` and `server` lines, crt-lists and the global section say of TLS (sections 3.1, 5.1 and 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import seconds, whole
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.lines import Tls
from trilb.config.settings import Global

VERSIONS = ("SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_BY_WORD = {name.lower().replace(".", ""): name for name in VERSIONS}
"""sslv3, tlsv10 ... tlsv13, as `no-` and `force-` options spell them."""

VERIFY_ERRORS = {
    "UNABLE_TO_GET_ISSUER_CERT": 2,
    "UNABLE_TO_GET_CRL": 3,
    "UNABLE_TO_DECRYPT_CERT_SIGNATURE": 4,
    "UNABLE_TO_DECRYPT_CRL_SIGNATURE": 5,
    "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY": 6,
    "CERT_SIGNATURE_FAILURE": 7,
    "CRL_SIGNATURE_FAILURE": 8,
    "CERT_NOT_YET_VALID": 9,
    "CERT_HAS_EXPIRED": 10,
    "CRL_NOT_YET_VALID": 11,
    "CRL_HAS_EXPIRED": 12,
    "ERROR_IN_CERT_NOT_BEFORE_FIELD": 13,
    "ERROR_IN_CERT_NOT_AFTER_FIELD": 14,
    "ERROR_IN_CRL_LAST_UPDATE_FIELD": 15,
    "ERROR_IN_CRL_NEXT_UPDATE_FIELD": 16,
    "OUT_OF_MEM": 17,
    "DEPTH_ZERO_SELF_SIGNED_CERT": 18,
    "SELF_SIGNED_CERT_IN_CHAIN": 19,
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY": 20,
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE": 21,
    "CERT_CHAIN_TOO_LONG": 22,
    "CERT_REVOKED": 23,
    "INVALID_CA": 24,
    "PATH_LENGTH_EXCEEDED": 25,
    "INVALID_PURPOSE": 26,
    "CERT_UNTRUSTED": 27,
    "CERT_REJECTED": 28,
    "SUBJECT_ISSUER_MISMATCH": 29,
    "AKID_SKID_MISMATCH": 30,
    "AKID_ISSUER_SERIAL_MISMATCH": 31,
    "KEYUSAGE_NO_CERTSIGN": 32,
    "UNABLE_TO_GET_CRL_ISSUER": 33,
    "UNHANDLED_CRITICAL_EXTENSION": 34,
    "KEYUSAGE_NO_CRL_SIGN": 35,
    "UNHANDLED_CRITICAL_CRL_EXTENSION": 36,
    "INVALID_NON_CA": 37,
    "PROXY_PATH_LENGTH_EXCEEDED": 38,
    "KEYUSAGE_NO_DIGITAL_SIGNATURE": 39,
    "PROXY_CERTIFICATES_NOT_ALLOWED": 40,
    "INVALID_EXTENSION": 41,
    "INVALID_POLICY_EXTENSION": 42,
    "NO_EXPLICIT_POLICY": 43,
    "DIFFERENT_CRL_SCOPE": 44,
    "UNSUPPORTED_EXTENSION_FEATURE": 45,
    "UNNESTED_RESOURCE": 46,
    "PERMITTED_VIOLATION": 47,
    "EXCLUDED_VIOLATION": 48,
    "SUBTREE_MINMAX": 49,
    "APPLICATION_VERIFICATION": 50,
    "UNSUPPORTED_CONSTRAINT_TYPE": 51,
    "UNSUPPORTED_CONSTRAINT_SYNTAX": 52,
    "UNSUPPORTED_NAME_SYNTAX": 53,
    "CRL_PATH_VALIDATION_ERROR": 54,
    "HOSTNAME_MISMATCH": 62,
    "EMAIL_MISMATCH": 63,
    "IP_ADDRESS_MISMATCH": 64,
}
"""Numbers of X509_V_ERR_... names, as OpenSSL documents them in X509_STORE_CTX_get_error(3)."""
EVERY = -1


def _errors(text: str) -> frozenset[int]:
    if text == "all":
        return frozenset((EVERY,))
    found: set[int] = set()
    for part in text.split(","):
        number = VERIFY_ERRORS.get(part.removeprefix("X509_V_ERR_"))
        if number is None:
            if not part.isdigit():
                raise Refused(f"'{part}' is neither the number nor the name (X509_V_ERR_...) of a verification error")
            number = int(part)
        found.add(number)
    return frozenset(found)


def _protocols(text: str) -> tuple[bytes, ...]:
    names = [name.encode("latin-1") for name in text.split(",") if name]
    if any(len(name) > 255 for name in names):
        raise Refused("a protocol's name has 255 bytes at most")
    return tuple(names)


def _version(text: str) -> str:
    if text not in VERSIONS:
        raise Refused(f"expects {', '.join(VERSIONS[:-1])} or {VERSIONS[-1]}, not '{text}'")
    return text


def _verify(text: str) -> str:
    if text not in ("none", "optional", "required"):
        raise Refused(f"expects none, optional or required, not '{text}'")
    return text


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ca-file": ("ca_file", str),
    "ca-verify-file": ("ca_verify_file", str),
    "crl-file": ("crl_file", str),
    "verify": ("verify", _verify),
    "ciphers": ("ciphers", str),
    "ciphersuites": ("ciphersuites", str),
    "curves": ("curves", str),
    "ecdhe": ("curves", str),
    "sigalgs": ("sigalgs", str),
    "client-sigalgs": ("client_sigalgs", str),
    "ssl-min-ver": ("min_version", _version),
    "ssl-max-ver": ("max_version", _version),
    "alpn": ("alpn", _protocols),
    "crt-ignore-err": ("crt_ignore", _errors),
    "ca-ignore-err": ("ca_ignore", _errors),
    "verifyhost": ("verify_host", str),
}
_FLAGS: dict[str, tuple[str, Any]] = {
    "no-tls-tickets": ("tickets", False),
    "tls-tickets": ("tickets", True),
    "strict-sni": ("strict_sni", True),
    "no-strict-sni": ("strict_sni", False),
    "prefer-client-ciphers": ("client_ciphers", True),
    "no-ca-names": ("ca_names", False),
    "no-alpn": ("alpn", ()),
    "no-verifyhost": ("verify_host", ""),
    "no-sni-auto": ("sni_auto", False),
    "sni-auto": ("sni_auto", True),
    "no-ssl-reuse": ("reuse", False),
    "ssl-reuse": ("reuse", True),
    "no-renegotiate": ("renegotiate", False),
    "renegotiate": ("renegotiate", True),
}
_SHARED = frozenset(
    "ca-file crl-file verify ciphers ciphersuites curves sigalgs client-sigalgs ssl-min-ver ssl-max-ver alpn no-alpn "
    "no-tls-tickets tls-tickets".split()
)
_BIND = _SHARED | frozenset(
    "ca-verify-file ecdhe crt-ignore-err ca-ignore-err strict-sni no-strict-sni prefer-client-ciphers "
    "no-ca-names".split()
)
_SERVER = _SHARED | frozenset(
    "verifyhost no-verifyhost no-sni-auto sni-auto no-ssl-reuse ssl-reuse no-renegotiate renegotiate".split()
)
_LIST = frozenset(
    "alpn no-alpn ca-file ca-verify-file ciphers ciphersuites client-sigalgs crl-file curves ecdhe no-ca-names sigalgs "
    "ssl-min-ver ssl-max-ver verify".split()
)
PLACES = {"bind": _BIND, "server": _SERVER, "crt-list": _LIST}


def read_option(tls: Tls, where: str, words: tuple[str, ...], i: int) -> int:
    """Read the TLS option at `words[i]` of a line of kind `where`; how many words it took, 0 when it is none.

    `crt`, `crt-list` and `sni` are the caller's. Raises Refused.
    """
    option = words[i]
    for prefix in ("no-", "force-"):
        version = _BY_WORD.get(option.removeprefix(prefix)) if option.startswith(prefix) else None
        if version is not None and where != "crt-list":
            if prefix == "no-":
                tls.refused |= {version}
            else:
                tls.min_version = tls.max_version = version
            return 1
    if option not in PLACES[where]:
        return 0
    if option in _FLAGS:
        name, value = _FLAGS[option]
        setattr(tls, name, value)
        return 1
    name, read = _READERS[option]
    if i + 1 >= len(words):
        raise Refused(f"'{option}' expects an argument")
    try:
        setattr(tls, name, read(words[i + 1]))
    except Refused as refused:
        raise Refused(f"'{option}' {refused.text}") from None
    return 2


# -- the global section --------------------------------------------------------------------------------------------

_DEFAULTS = {
    "ciphers": "ciphers",
    "ciphersuites": "ciphersuites",
    "curves": "curves",
    "sigalgs": "sigalgs",
    "client-sigalgs": "client_sigalgs",
}


def _side(section: Global, word: str) -> Tls:
    return section.tls_bind if word.startswith("ssl-default-bind") else section.tls_server


@keyword(
    "global",
    *(f"ssl-default-{side}-{what}" for side in ("bind", "server") for what in _DEFAULTS),
)
def defaults(line: Line, section: Global, context: Context) -> None:
    """`ssl-default-bind-ciphers`, `-ciphersuites`, `-curves` ...: for lines that say nothing of their own."""
    (text,) = only(line, 1, f"{line.words[0]} <list>")
    setattr(_side(section, line.words[0]), _DEFAULTS[line.words[0].split("-", 3)[3]], text)


@keyword("global", "ssl-default-bind-options", "ssl-default-server-options")
def options(line: Line, section: Global, context: Context) -> None:
    """`ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets ...`: TLS options of all lines."""
    if len(line.words) < 2:
        raise Refused(f"'{line.words[0]}' expects an argument")
    where = "bind" if line.words[0].startswith("ssl-default-bind") else "server"
    known = {f"{how}-{version}" for how in ("no", "force") for version in _BY_WORD} | {
        "ssl-min-ver",
        "ssl-max-ver",
        "no-tls-tickets",
        "tls-tickets",
    }
    known |= {"prefer-client-ciphers", "strict-sni", "no-strict-sni", "no-alpn"} if where == "bind" else set()
    i = 1
    while i < len(line.words):
        option = line.words[i]
        if option not in known:
            raise Refused(f"unknown option '{option}'{nearest(option, known)}", column=line.columns[i])
        try:
            i += read_option(_side(section, line.words[0]), where, line.words, i)
        except Refused as refused:
            raise Refused(refused.text, column=line.columns[i]) from None


@keyword("global", "ca-base", "crt-base")
def base(line: Line, section: Global, context: Context) -> None:
    """`ca-base DIR`, `crt-base DIR`: where relative names of CA and certificate files begin."""
    (text,) = only(line, 1, f"{line.words[0]} <dir>")
    setattr(section, line.words[0].replace("-", "_"), text)


@keyword("global", "ssl-server-verify")
def server_verify(line: Line, section: Global, context: Context) -> None:
    """`ssl-server-verify none|required`: whether servers' certificates are checked where their line says nothing."""
    (text,) = only(line, 1, "ssl-server-verify none|required")
    if text not in ("none", "required"):
        raise Refused(f"'ssl-server-verify' expects none or required, not '{text}'", column=line.columns[1])
    section.server_verify = text


@keyword("global", "ssl-load-extra-files")
def extra_files(line: Line, section: Global, context: Context) -> None:
    """`ssl-load-extra-files none|all|bundle|sctl|ocsp|issuer|key ...`: what is loaded beside a certificate."""
    kinds = frozenset(("bundle", "ocsp", "issuer", "key", "sctl"))
    words = frozenset(line.words[1:])
    if not words or not words <= kinds | {"none", "all"}:
        raise Refused("'ssl-load-extra-files' expects none, all, or some of bundle, sctl, ocsp, issuer, key")
    section.tls_extra = kinds if "all" in words else words - {"none"}


@keyword("global", "ssl-load-extra-del-ext")
def strip_extension(line: Line, section: Global, context: Context) -> None:
    """`ssl-load-extra-del-ext`: beside NAME.crt are NAME.key, NAME.ocsp ..., not NAME.crt.key."""
    only(line, 0, "ssl-load-extra-del-ext")
    section.tls_strip = True


@keyword("global", "issuers-chain-path")
def issuers(line: Line, section: Global, context: Context) -> None:
    """`issuers-chain-path DIR`: chains for certificates that come without one."""
    (section.tls_issuers,) = only(line, 1, "issuers-chain-path <dir>")


@keyword("global", "ssl-dh-param-file")
def dh_file(line: Line, section: Global, context: Context) -> None:
    """`ssl-dh-param-file FILE`: Diffie-Hellman parameters of listeners that offer DHE ciphers."""
    (section.tls_dh,) = only(line, 1, "ssl-dh-param-file <file>")


@keyword("global", "tune.ssl.lifetime", "tune.ssl.cachesize", "tune.ssl.maxrecord", "tune.ssl.capture-buffer-size")
@keyword("global", "tune.ssl.capture-cipherlist-size")
def tune(line: Line, section: Global, context: Context) -> None:
    """Session lifetime, session cache (0 turns it off), bytes in a record, bytes kept of a client's hello."""
    name = line.words[0].removeprefix("tune.ssl.")
    (text,) = only(line, 1, f"{line.words[0]} <number>")
    if name == "lifetime":
        section.tls_lifetime = int(seconds(text, "s") or 0) or 300
    elif name == "cachesize":
        section.tls_cache = whole(text, 0, 2**31 - 1, f"'{line.words[0]}'")
    elif name == "maxrecord":
        section.tls_record = whole(text, 0, 1 << 30, f"'{line.words[0]}'")
    else:
        section.tls_capture = whole(text, 0, 1 << 20, f"'{line.words[0]}'")


@keyword("global", "tune.ssl.default-dh-param")
def dh_size(line: Line, section: Global, context: Context) -> None:
    """`tune.ssl.default-dh-param BITS`: accepted; without a file of parameters no DHE cipher is offered."""
    (text,) = only(line, 1, "tune.ssl.default-dh-param <number>")
    whole(text, 1024, 16384, "'tune.ssl.default-dh-param'")
    context.config.without_effect.setdefault(line.words[0], line.place)
