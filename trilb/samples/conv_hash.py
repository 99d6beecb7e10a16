"""Converters that hash and digest (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import hashlib
import hmac as _hmac
from collections.abc import Callable

import xxhash

from trilb.base import hashes
from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_binary, any_text
from trilb.samples.conv_coding import decoded64
from trilb.samples.types import Convert, StreamConvert, Value, as_bytes, converter
from trilb.samples.variables import Variable


def _hash(name: str, doc: str, function: Callable[[bytes], int]) -> None:
    def factory(avalanche: int) -> Convert:
        if avalanche:
            return lambda value: hashes.avalanche(function(as_bytes(value)))
        return lambda value: function(as_bytes(value))

    factory.__doc__ = doc
    args = (optional("avalanche", Kind.INT, 0),)
    converter(name, args=args, takes="bin", gives="sint", source="7.3.1")(factory)


_hash("crc32", "CRC-32 as Ethernet and gzip compute it.", hashes.crc32)
_hash("crc32c", "CRC-32C as SCTP and iSCSI compute it.", hashes.crc32c)
_hash("djb2", "djb2, as `hash-type` uses it.", hashes.djb2)
_hash("sdbm", "sdbm, as `hash-type` uses it.", hashes.sdbm)
_hash("wt6", "wt6, as `hash-type` uses it.", hashes.wt6)

_SEED = (optional("seed", Kind.INT, 0),)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


@converter("xxh32", args=_SEED, takes="bin", gives="sint", source="7.3.1")
def xxh32(seed: int) -> Convert:
    """XXH32 with a seed."""
    start = seed & 0xFFFFFFFF
    return lambda value: xxhash.xxh32_intdigest(as_bytes(value), start)


@converter("xxh64", args=_SEED, takes="bin", gives="sint", source="7.3.1")
def xxh64(seed: int) -> Convert:
    """XXH64 with a seed, as a signed number."""
    start = seed & 0xFFFFFFFFFFFFFFFF
    return lambda value: _signed(xxhash.xxh64_intdigest(as_bytes(value), start))


@converter("xxh3", args=_SEED, takes="bin", gives="sint", source="7.3.1")
def xxh3(seed: int) -> Convert:
    """The 64 bits of XXH3 with a seed, as a signed number."""
    start = seed & 0xFFFFFFFFFFFFFFFF
    return lambda value: _signed(xxhash.xxh3_64_intdigest(as_bytes(value), start))


@converter("sha1", takes="bin", gives="bin", source="7.3.1")
def sha1() -> Convert:
    """The SHA-1 digest."""
    return lambda value: hashlib.sha1(as_bytes(value), usedforsecurity=False).digest()


@converter("sha2", args=(optional("bits", Kind.INT, 256),), takes="bin", gives="bin", source="7.3.1")
def sha2(bits: int) -> Convert:
    """A digest of the SHA-2 family."""
    functions = {224: hashlib.sha224, 256: hashlib.sha256, 384: hashlib.sha384, 512: hashlib.sha512}
    function = functions.get(bits)
    if function is None:
        raise Refused(f"unknown size {bits}; SHA-2 has 224, 256, 384 and 512 bits")
    return lambda value: function(as_bytes(value)).digest()


_SHAKE = {"shake128": 16, "shake-128": 16, "shake256": 32, "shake-256": 32}
"""Digests of any length, and the one OpenSSL gives when none is asked for."""


def _known(algorithm: str) -> str:
    name = algorithm.lower().removeprefix("rsa-")
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        raise Refused(f"'{algorithm}' is no message digest OpenSSL offers, such as sha256") from None
    return name


@converter("digest", args=(Arg("algorithm"),), takes="bin", gives="bin", source="7.3.1")
def digest(algorithm: str) -> Convert:
    """A digest by its OpenSSL name."""
    size = _SHAKE.get(algorithm.lower())
    if size is not None:
        shake = hashlib.shake_128 if size == 16 else hashlib.shake_256
        return lambda value: shake(as_bytes(value)).digest(size)
    name = _known(algorithm)
    return lambda value: hashlib.new(name, as_bytes(value), usedforsecurity=False).digest()


_KEYED = (Arg("algorithm"), Arg("key", Kind.STR_OR_VAR))


@converter("hmac", args=_KEYED, takes="bin", gives="bin", stream=True, source="7.3.1")
def hmac(algorithm: str, key: str | Variable) -> StreamConvert:
    """A message authentication code; the key, or the variable's value, is base64."""
    name = _known(algorithm)
    try:
        _hmac.digest(b"", b"", name)
    except ValueError:
        raise Refused(f"'{algorithm}' cannot make an authentication code") from None
    if isinstance(key, Variable):
        variable = key

        def run(value: Value, stream: Stream) -> bytes | None:
            found = variable.get(stream)
            text = any_text(found) if found is not None else None
            secret = decoded64(text) if text is not None else None
            return _hmac.digest(secret, as_bytes(value), name) if secret is not None else None

        return run
    fixed = decoded64(key.encode("latin-1"))
    if fixed is None:
        raise Refused("the key is neither base64 nor a variable")
    return lambda value, stream: _hmac.digest(fixed, as_bytes(value), name)


@converter("secure_memcmp", args=(Arg("variable", Kind.VAR),), takes="bin", gives="bool", stream=True, source="7.3.1")
def secure_memcmp(variable: Variable) -> StreamConvert:
    """Whether it equals a variable's value, found out in a time that does not tell where they differ."""

    def run(value: Value, stream: Stream) -> bool | None:
        found = variable.get(stream)
        return _hmac.compare_digest(as_bytes(value), any_binary(found)) if found is not None else None

    return run
