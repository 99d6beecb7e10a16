"""Conditions of `.if`, `.elif` and `-cc` (configuration.txt, section 2.4).

Pure: what a predicate may ask about (environment, version, features) is handed in. Precedence: `!` binds
tightest, then `&&`, then `||`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trilb.base.diagnostic import Refused, nearest
from trilb.config.lexer import split_arguments

_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]+|\d+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-(dev|rc)?(\d*))?")


def version_key(text: str) -> tuple[int, int, int, int, int]:
    """A version as something that compares: a development version is older than its release."""
    match = _VERSION.match(text)
    if match is None:
        raise Refused(f"'{text}' is not a version; write it as 3.0 or 2.5-dev2")
    major, minor, patch = (int(match[n] or 0) for n in (1, 2, 3))
    stage = {"dev": 0, "rc": 1}.get(match[4] or "", 2)
    return major, minor, patch, stage, int(match[5] or 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What predicates are asked about."""

    version: str
    env: Mapping[str, str]
    features: frozenset[str] = frozenset()
    enabled: frozenset[str] = frozenset()
    ssl_library: str = "OpenSSL"
    ssl_version: str = "3.0.0"
    localpeer: str = ""
    """What -L says."""
    may_fork: bool = False
    """`-dI`, which is `insecure-fork-wanted` for any file."""
    extra: Mapping[str, Callable[..., bool]] = field(default_factory=dict)


def _predicates(facts: Facts) -> dict[str, tuple[int, Callable[..., bool]]]:
    def at_least(version: str) -> bool:
        return version_key(facts.version) >= version_key(version)

    def ssl_at_least(version: str) -> bool:
        return version_key(facts.ssl_version) >= version_key(version)

    return {
        "defined": (1, lambda name: name in facts.env),
        "feature": (1, lambda name: name in facts.features),
        "enabled": (1, lambda name: name.upper() in facts.enabled),
        "streq": (2, lambda a, b: a == b),
        "strneq": (2, lambda a, b: a != b),
        "strstr": (2, lambda a, b: b in a),
        "version_atleast": (1, at_least),
        "version_before": (1, lambda version: not at_least(version)),
        "openssl_version_atleast": (1, ssl_at_least),
        "openssl_version_before": (1, lambda version: not ssl_at_least(version)),
        "ssllib_name_startswith": (1, lambda name: facts.ssl_library.startswith(name)),
        "awslc_api_atleast": (1, lambda version: False),
        "awslc_api_before": (1, lambda version: False),
        "fips_mode": (0, lambda: False),
    }


class _Parser:
    """Recursive descent over the condition's text; evaluates as it reads, since there is nothing to keep."""

    def __init__(self, text: str, facts: Facts) -> None:
        self.text = text
        self.at = 0
        self.predicates = _predicates(facts)

    def blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def sees(self, token: str) -> bool:
        self.blank()
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def either(self) -> bool:
        value = self.both()
        while self.sees("||"):
            value = self.both() or value
        return value

    def both(self) -> bool:
        value = self.term()
        while self.sees("&&"):
            value = self.term() and value
        return value

    def term(self) -> bool:
        if self.sees("!"):
            return not self.term()
        if self.sees("("):
            value = self.either()
            if not self.sees(")"):
                raise Refused(f"missing ')' in conditional expression '{self.text}'", column=self.at + 1)
            return value
        self.blank()
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return number[0].lstrip("+-0xX") != ""
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise Refused(
                f"unparsable conditional expression '{self.text}' at '{self.text[self.at :]}'", column=self.at + 1
            )
        return self.call(name[0], name.end())

    def call(self, name: str, end: int) -> bool:
        found = self.predicates.get(name)
        if found is None:
            raise Refused(
                f"unknown predicate '{name}' in conditional expression{nearest(name, self.predicates)}",
                column=self.at + 1,
            )
        count, predicate = found
        arguments: list[str] = []
        if self.text.startswith("(", end):
            arguments, end = split_arguments(self.text, end)
        if len(arguments) != count:
            raise Refused(f"predicate '{name}' expects {count} argument(s), got {len(arguments)}", column=self.at + 1)
        self.at = end
        return predicate(*arguments)


def evaluate(text: str, facts: Facts) -> bool:
    """The truth of a condition; an empty one is false. Raises Refused when it cannot be parsed."""
    parser = _Parser(text, facts)
    parser.blank()
    if parser.at == len(text):
        return False
    value = parser.either()
    parser.blank()
    if parser.at != len(text):
        raise Refused(f"unexpected '{text[parser.at :]}' in conditional expression '{text}'", column=parser.at + 1)
    return value
