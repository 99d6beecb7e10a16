"""Converters for what headers carry (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import re

from trilb.base.registry import optional
from trilb.samples.types import Convert, Value, as_bytes, converter

_QUALITY = re.compile(rb"\s*q=([01])?(?:\.([0-9]{0,3}))?")


def _thousandths(parameters: bytes) -> int:
    """The quality that `;q=0.5` says, 1000 without one that can be read."""
    found = _QUALITY.match(parameters)
    if found is None or found[1] is None:
        return 1000
    return min(1000, int(found[1]) * 1000 + int((found[2] or b"").ljust(3, b"0")))


@converter(
    "language", args=(optional("values", default=""), optional("default")), takes="str", gives="str", source="7.3.1"
)
def language(values: str, default: str | None) -> Convert:
    """Which of the languages `en;fr` a request likes best, by its accept-language header."""
    known = tuple(name.encode("latin-1") for name in values.split(";") if name)
    otherwise = default.encode("latin-1") if default else None

    def run(value: Value) -> bytes | None:
        best, chosen = 0, otherwise
        for part in as_bytes(value).split(b","):
            name, _, parameters = part.partition(b";")
            tag = name.strip(b" \t")
            for one in known:
                if tag == one or tag.startswith(one + b"-"):
                    quality = _thousandths(parameters)
                    if quality > best:
                        best, chosen = quality, one
                    break
        return chosen

    return run
