"""From texts to a Config: conditions, sections, keywords, and the report of all that is wrong.

The reader is handed its vocabulary (Language) and the facts conditions may ask for, so it imports no room above.
It goes on after an error: one run tells everything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from trilb.base.diagnostic import Diagnostic, Place, Refused, Report, Severity, nearest
from trilb.config import check, known
from trilb.config.conditions import Facts, evaluate
from trilb.config.expressions import NotServed
from trilb.config.keywords import globals as global_keywords
from trilb.config.keywords.registry import SECTIONS, Context, Keyword
from trilb.config.language import Language
from trilb.config.lexer import Line, tokenize
from trilb.config.log_lines import LogProfile
from trilb.config.model import Config, Proxy, Side
from trilb.config.probes import HealthCheck
from trilb.config.sections import CertificateStore, ErrorSection, PeersSection, ResolversSection, UserList
from trilb.config.sources import Source

_PROXIES = {"defaults": Side.BOTH, "frontend": Side.FRONTEND, "backend": Side.BACKEND, "listen": Side.BOTH}
_SERVED_SECTIONS = frozenset({*_PROXIES, *SECTIONS} - {"proxy"})
_DIRECTIVES = (".if", ".elif", ".else", ".endif", ".notice", ".warning", ".alert", ".diag")
_ENDED_BY_EMPTY = frozenset(("bind", "server", "default-server", "option", "timeout", "balance", "stats"))
_LETTER = {"defaults": "D", "frontend": "F", "listen": "L", "backend": "B"}


class _Level:
    """One `.if` level: whether its lines count, whether a branch was already taken, whether `.else` was seen."""

    __slots__ = ("active", "last", "outer", "place", "taken")

    def __init__(self, place: Place, active: bool, outer: bool) -> None:
        self.place = place
        self.active = active and outer
        self.taken = active
        self.outer = outer
        self.last = False


class _Condition(Refused):
    """Something is wrong with a directive; nothing after it can be trusted."""


class _Reader:
    def __init__(self, language: Language, facts: Facts) -> None:
        self.config = Config(env=dict(facts.env), language=language)
        self.report = Report()
        self.facts = replace(facts, env=self.config.env)
        self.context = Context(self.config, self.report, language, self.config.env)
        self.levels: list[_Level] = []
        self.kind = ""
        self.section: object = None
        self.defaults: dict[str, Proxy] = {}
        self.latest: Proxy | None = None
        self.ambiguous: set[str] = set()
        self.stopped = False

    def file(self, source: Source) -> None:
        self.kind, self.section = "", None
        self.context.path = source.name
        self.config.env["HAPROXY_CFGFILES"] = ";".join(
            filter(None, [self.config.env.get("HAPROXY_CFGFILES", ""), source.name])
        )
        texts = source.text.split("\n")
        if texts[-1]:
            end = Place(source.name, len(texts), len(texts[-1]) + 1)
            self.report.alert(
                end, "missing LF on last line, the file might have been truncated; end it with a line feed"
            )
        for number, text in enumerate(texts, 1):
            place = Place(source.name, number)
            try:
                if "\0" in text:
                    raise Refused("NUL byte in the file", column=text.index("\0") + 1)
                line = tokenize(text.rstrip("\r"), place, self.config.env)
            except Refused as refused:
                self.report.alert(Place(source.name, number, refused.column), refused.text, text)
                continue
            try:
                if line.words:
                    self.line(line)
            except _Condition as refused:
                self.condition(refused, line, text)
                break
            except NotServed as refused:
                self.context.unserved(refused.text, Place(place.file, place.line, refused.column))
            except Refused as refused:
                self.report.alert(refused.place or Place(place.file, place.line, refused.column), refused.text)
        else:
            for level in self.levels:
                end = Place(source.name, len(texts) - (not texts[-1]))
                self.report.alert(end, f"non-terminated '.if' block, opened on line {level.place.line}")
        self.levels.clear()

    def condition(self, refused: Refused, line: Line, text: str) -> None:
        """An error in a directive ends the file; a caret shows where the expression went wrong, if it can."""
        expression = " ".join(line.words[1:])
        at = text.find(expression) if expression else -1
        column = at + refused.column if at >= 0 else line.columns[0]
        where = Place(line.place.file, line.place.line, column)
        self.report.alert(where, refused.text, text if refused.column and at >= 0 else "")

    def skipping(self) -> bool:
        return bool(self.levels) and not self.levels[-1].active

    def line(self, line: Line) -> None:
        word = line.words[0]
        if word.startswith("."):
            try:
                self.directive(word, line)
            except Refused as refused:
                raise _Condition(refused.text, column=refused.column) from None
            return
        if self.skipping():
            return
        self.context.negated = False
        if word in ("no", "default") and len(line.words) > 1:
            self.context.negated = True
            line = line.shifted(1)
            word = line.words[0]
        opens = word in _SERVED_SECTIONS or word in known.SECTIONS
        if opens and (word in _PROXIES or word not in SECTIONS.get(self.kind, {})):
            self.begin(line)
            return
        self.keyword(word, line)

    def directive(self, word: str, line: Line) -> None:
        """`.if` and its kin."""
        text = " ".join(line.words[1:])
        outer = not self.skipping()
        most = {".else": 1, ".endif": 1, ".notice": 2, ".warning": 2, ".alert": 2, ".diag": 2}.get(word)
        if most is not None and len(line.words) > most:
            hint = "; use quotes if the message should contain spaces" if most == 2 else ""
            raise Refused(f"unexpected argument '{line.words[most]}' for '{word}'{hint}")
        if word == ".if":
            self.levels.append(_Level(line.place, outer and evaluate(text, self.facts), outer))
        elif word in (".elif", ".else", ".endif"):
            if not self.levels:
                raise Refused(f"lone '{word}' with no matching '.if'")
            level = self.levels[-1]
            if word == ".endif":
                self.levels.pop()
            elif level.last:
                raise Refused(f"'{word}' after '.else'")
            else:
                level.last = word == ".else"
                wanted = level.outer and not level.taken
                level.active = wanted and (word == ".else" or evaluate(text, self.facts))
                level.taken = level.taken or level.active
        elif word in (".notice", ".warning", ".alert", ".diag"):
            if outer:
                severity = {".warning": Severity.WARNING, ".alert": Severity.ALERT}.get(word, Severity.NOTICE)
                if word != ".diag":
                    self.report.entries.append(Diagnostic(severity, line.place, f"'{text}'."))
                if word == ".alert":
                    self.stopped = True
        else:
            raise Refused(f"unknown directive '{word}'{nearest(word, _DIRECTIVES)}")

    def begin(self, line: Line) -> None:
        """Open a section."""
        kind, words = line.words[0], line.words
        self.kind, self.section = kind, None
        if kind == "global":
            self.section = self.config.globals
            if len(words) > 1:
                raise Refused(f"'global' cannot handle unexpected argument '{words[1]}'", column=line.columns[1])
        elif kind in _PROXIES:
            self.section = self.proxy(line)
        elif kind == "userlist":
            name = self.name(line)
            if name in self.config.userlists:
                self.report.warn(line.place, f"userlist '{name}' is already defined; ignored")
                return
            self.section = self.config.userlists[name] = UserList(name, line.place)
        elif kind == "log-profile":
            name = self.name(line)
            if name in self.config.log_profiles:
                raise Refused(f"log-profile '{name}' is already defined at {self.config.log_profiles[name].place}")
            self.section = self.config.log_profiles[name] = LogProfile(name, line.place)
        elif kind == "peers":
            name = self.name(line)
            if name in self.config.peers:
                raise Refused(f"peers section '{name}' is already defined at {self.config.peers[name].place}")
            self.section = self.config.peers[name] = PeersSection(name, line.place)
        elif kind == "resolvers":
            name = self.name(line)
            if name in self.config.resolvers:
                raise Refused(f"resolvers section '{name}' is already defined at {self.config.resolvers[name].place}")
            self.section = self.config.resolvers[name] = ResolversSection(name, line.place)
        elif kind == "fcgi-app":
            # No proxy uses it: `use-fcgi-app` is not served.
            self.name(line)
            self.config.without_effect.setdefault("fcgi-app", line.place)
        elif kind == "http-errors":
            name = self.name(line)
            if name in self.config.errors:
                raise Refused(f"http-errors section '{name}' is already defined at {self.config.errors[name].place}")
            self.section = self.config.errors[name] = ErrorSection(name, line.place)
        elif kind == "healthcheck":
            name = self.name(line)
            if name in self.config.healthchecks:
                raise Refused(f"healthcheck '{name}' is already defined at {self.config.healthchecks[name].place}")
            self.section = self.config.healthchecks[name] = HealthCheck(name, line.place)
        elif kind == "crt-store":
            self.section = CertificateStore(self.name(line) if len(words) > 1 else "", line.place)
        else:
            self.context.unserved(f"section '{kind}'", line.place)

    def name(self, line: Line) -> str:
        if len(line.words) < 2:
            raise Refused(f"'{line.words[0]}' expects a name")
        name = line.words[1]
        for at, c in enumerate(name):
            if not (c.isascii() and (c.isalnum() or c in "-_.:")):
                raise Refused(
                    f"character '{c}' is not permitted in '{line.words[0]}' name '{name}'; use A-Z a-z 0-9 - _ . :",
                    column=line.columns[1] + at,
                )
        return name

    def proxy(self, line: Line) -> Proxy:
        kind, words = line.words[0], list(line.words[1:])
        wanted: Proxy | None = self.latest
        name = ""
        if words and words[0] != "from":
            name = self.name(line)
            words.pop(0)
        elif kind != "defaults":
            raise Refused(f"'{kind}' expects a name")
        explicit = bool(words and words[0] == "from")
        if explicit:
            if len(words) < 2:
                raise Refused("'from' expects the name of a defaults section")
            wanted = self.defaults.get(words[1])
            if words[1] in self.ambiguous:
                raise Refused(f"defaults section '{words[1]}' is defined more than once; which one is meant?")
            if wanted is None:
                raise Refused(f"defaults section '{words[1]}' not found{nearest(words[1], self.defaults)}")
            words = words[2:]
        if words:
            raise Refused(f"'{kind}' cannot handle unexpected argument '{words[0]}'; use a 'bind' line for addresses")
        side = _PROXIES[kind]
        if kind == "defaults":
            if explicit and wanted is not None and wanted.unique_rules:
                raise Refused(
                    f"defaults section '{wanted.name}' carries TCP/HTTP rules and cannot serve another defaults section"
                )
            made = (
                wanted.inherit(name, kind, line.place, side)
                if explicit and wanted is not None
                else Proxy(name, kind, line.place, side)
            )
            if name in self.defaults:
                self.ambiguous.add(name)
            if name:
                self.defaults[name] = made
            self.latest = made
            return made
        for other in self.config.proxies:
            if other.name == name and other.side & side:
                raise Refused(
                    f"{kind} '{name}' has the same name as {other.kind} '{other.name}' declared at {other.place}"
                )
        made = (
            wanted.inherit(name, kind, line.place, side) if wanted is not None else Proxy(name, kind, line.place, side)
        )
        self.config.proxies.append(made)
        if made.unique_rules:
            self.inherited_rules(made)
        return made

    def inherited_rules(self, made: Proxy) -> None:
        """Rules of a defaults section bind who may use it (section 4, "defaults")."""
        origin = made.inherits
        if made.kind == "listen":
            raise Refused(f"defaults section '{origin}' carries TCP/HTTP rules and cannot serve a listen section")
        if made.kind == "backend":
            for family in ("tcp-request connection", "tcp-request session"):
                if family in made.unique_rules:
                    raise Refused(f"defaults section '{origin}' carries '{family}' rules and cannot serve a backend")
        elif any(family.startswith("tcp-response") for family in made.unique_rules):
            raise Refused(f"defaults section '{origin}' carries 'tcp-response' rules and cannot serve a frontend")
        for other in self.config.proxies:
            if other is not made and other.inherits == origin and other.kind != made.kind and other.unique_rules:
                raise Refused(
                    f"defaults section '{origin}' carries TCP/HTTP rules and cannot serve both frontends and backends"
                )

    def keyword(self, word: str, line: Line) -> None:
        """Hand the line to its keyword's function."""
        if not self.kind:
            raise Refused(
                f"unknown keyword '{word}' out of section{nearest(word, _SERVED_SECTIONS)}", column=line.columns[0]
            )
        if self.section is None:
            return
        table = SECTIONS["proxy" if self.kind in _PROXIES else self.kind]
        found = table.get(word)
        if "" in line.words and word in _ENDED_BY_EMPTY:
            # An empty word, often from an unset variable, ends the arguments of these (observed).
            line = Line(line.place, line.words[: line.words.index("")], line.columns)
        if found is None:
            self.unregistered(word, line, table)
            return
        if self.context.negated and not found.negatable:
            raise Refused(f"negation is not supported for '{word}'", column=line.columns[0])
        if self.kind in _PROXIES and not self.fits(found, line):
            return
        try:
            found.function(line, self.section, self.context)
        except Refused as refused:
            if not refused.column:
                refused.column = line.columns[0]
            raise

    def fits(self, found: Keyword, line: Line) -> bool:
        """May the keyword stand in this section? A wrong side is warned of and ignored, as HAProxy does."""
        if _LETTER[self.kind] in found.where:
            return True
        if self.kind == "defaults":
            raise Refused(f"'{found.name}' not allowed in 'defaults' section", column=line.columns[0])
        if found.name == "server":
            raise Refused("'server' not allowed in a frontend section", column=line.columns[0])
        needed = "frontend" if "F" in found.where else "backend"
        assert isinstance(self.section, Proxy)
        self.report.warn(
            line.at(0),
            f"'{found.name}' ignored because {self.kind} '{self.section.name}' has no {needed} capability",
        )
        return False

    def unregistered(self, word: str, line: Line, table: dict[str, Keyword]) -> None:
        if self.kind == "global":
            if global_keywords.unregistered(word, line, self.context):
                return
            every: Sequence[str] = [*table, *known.GLOBAL]
        elif self.kind in _PROXIES:
            if word in known.PROXY:
                self.context.unserved(word, line.at(0))
                return
            if word in known.REMOVED:
                raise Refused(known.removed(word), column=line.columns[0])
            every = [*table, *known.PROXY]
        else:
            every = [*table]
        raise Refused(
            f"unknown keyword '{word}' in '{self.kind}' section{nearest(word, every)}", column=line.columns[0]
        )


def read(sources: list[Source], language: Language, facts: Facts) -> tuple[Config, Report]:
    """Read configuration files in order, and check what they say together.

    Never raises for what is in a file: everything wrong is in the report.
    """
    reader = _Reader(language, facts)
    reader.config.globals.insecure_fork = facts.may_fork
    for source in sources:
        reader.context.base = os.getcwd()
        reader.file(source)
    check.check(reader.config, reader.report, reader.context.references, facts.localpeer)
    return reader.config, reader.report
