"""How a keyword is registered, and what its function may use.

A keyword function receives the line, the section being filled and the Context. It raises Refused for what is
wrong with the line, NotServed for what is HAProxy's and not here yet; the reader adds the place.
`where` says in which sections of a proxy it may stand: D defaults, F frontend, L listen, B backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trilb.base.diagnostic import Place, Refused, Report
from trilb.config.expressions import Reference, Scope
from trilb.config.language import Language
from trilb.config.lexer import Line
from trilb.config.model import Config, Proxy, Unserved

KeywordFunction = Callable[[Line, Any, "Context"], None]


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of one kind of section."""

    name: str
    function: KeywordFunction
    where: str = ""
    negatable: bool = False


@dataclass(slots=True)
class Context:
    """What a keyword function may use besides its section."""

    config: Config
    report: Report
    language: Language
    env: dict[str, str]
    references: list[Reference] = field(default_factory=list)
    negated: bool = False
    path: str = ""
    base: str = ""
    refused_options: frozenset[str] = frozenset()
    """Options of server lines that may not be used where this one comes from."""

    def scope(self, proxy: Proxy, place: Place, at: str = "any") -> Scope:
        """Where an expression of this line stands."""
        defaults = proxy.kind == "defaults"
        slots = proxy.captures_in if proxy.kind != "backend" else None
        buffer = (self.config.globals.bufsize, self.config.globals.maxrewrite)
        return Scope(
            self.language,
            proxy.name,
            place,
            at,
            defaults,
            proxy.kind,
            slots,
            self.references,
            self.report.warn,
            self.config.patterns,
            self.base,
            buffer,
        )

    def unserved(self, keyword: str, place: Place) -> None:
        """Note that `keyword` is understood and not served."""
        self.config.unserved.append(Unserved(keyword, place))


SECTIONS: dict[str, dict[str, Keyword]] = {
    name: {} for name in "global proxy userlist peers log-profile http-errors crt-store healthcheck resolvers".split()
}


def keyword(
    section: str, *names: str, where: str = "DFLB", negatable: bool = False
) -> Callable[[KeywordFunction], KeywordFunction]:
    """Enter a function under `names` of a section."""

    def enter(function: KeywordFunction) -> KeywordFunction:
        for name in names:
            if name in SECTIONS[section]:
                raise TypeError(f"keyword '{name}' of '{section}' is registered twice")
            SECTIONS[section][name] = Keyword(name, function, where, negatable)
        return function

    return enter


def only(line: Line, count: int, usage: str) -> tuple[str, ...]:
    """The `count` words after the keyword. Raises Refused telling the usage when there are more or fewer."""
    words = line.words[1:]
    if len(words) != count:
        if len(words) > count:
            raise Refused(
                f"'{line.words[0]}' cannot handle unexpected argument '{words[count]}'; usage: {usage}",
                column=line.columns[count + 1],
            )
        raise Refused(f"'{line.words[0]}' expects more arguments; usage: {usage}")
    return words
