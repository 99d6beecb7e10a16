"""Sample expressions, ACLs, conditions and log formats: from words to checked Specs.

What lives here: the grammar of configuration.txt sections 7.1 (ACLs), 7.2 (conditions), 7.3 (expressions) and
8.2.6 (log formats), and the checks that need no live object: known names, argument types, scopes. Building the
closures that serve is samples' business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from trilb.base.diagnostic import Place, Refused, nearest
from trilb.base.registry import Entry, Kind, check_args, names_variable
from trilb.config import known
from trilb.config.language import IMPOSSIBLE_CASTS, AnyRegistry, Language
from trilb.config.lexer import split_arguments
from trilb.config.patterns import Patterns, list_name
from trilb.config.terms import AclSpec, Cond, Encoding, Expr, Format, Literal, Sample, Spec, Term, Variable

_WORD = re.compile(r"[A-Za-z0-9_.+-]+")
_REFERENCES = (Kind.FRONTEND, Kind.BACKEND, Kind.SERVER, Kind.TABLE)


class WrongScope(Refused):
    """A fetch stands where what it looks at does not exist."""


class NotServed(Refused):
    """The words are HAProxy's, trilb has no implementation yet: reading goes on, starting does not."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A proxy, server or table named by an argument, looked for once everything is read."""

    kind: Kind
    name: str
    what: str
    proxy: str
    place: Place


@dataclass(slots=True)
class Scope:
    """Where an expression stands: what it may use, and where its references go."""

    language: Language
    proxy: str
    place: Place
    at: str = "any"
    in_defaults: bool = False
    kind: str = ""
    captures: list[int] | None = None
    """Capture slots of the proxy's requests, where a rule may add one."""
    references: list[Reference] = field(default_factory=list)
    warn: Callable[[Place, str], None] = lambda place, text: None
    patterns: list[Patterns] = field(default_factory=list)
    """Every use of a pattern list, to be loaded once all is read."""
    base: str = ""
    """The directory relative file names start from."""
    buffer: tuple[int, int] = (16384, 1024)
    """tune.bufsize and tune.maxrewrite."""


_ACL_SUFFIXES = ("beg", "dir", "dom", "end", "len", "reg", "sub")
_ACL_BASES = {
    "path": "path",
    "url": "url",
    "base": "base",
    "hdr": "req.hdr",
    "shdr": "res.hdr",
    "urlp": "urlp",
    "cook": "req.cook",
    "scook": "res.cook",
}
ACL_ALIASES: dict[str, tuple[str, str]] = {
    f"{base}_{suffix}": (fetch, suffix) for base, fetch in _ACL_BASES.items() for suffix in _ACL_SUFFIXES
}
for _suffix in _ACL_SUFFIXES:
    ACL_ALIASES |= {f"{_f}_{_suffix}": (_f, _suffix) for _f in ("req.hdr", "res.hdr", "req.cook", "res.cook")}
"""ACL keywords that are a fetch with a match method (section 7.1.2)."""

PREDEFINED_ACLS: dict[str, tuple[str, ...]] = {
    "FALSE": ("always_false",),
    "TRUE": ("always_true",),
    "LOCALHOST": ("src", "127.0.0.1/8", "::1"),
    "HTTP": ("req.proto_http",),
    "HTTP_1.0": ("req.ver", "1.0"),
    "HTTP_1.1": ("req.ver", "1.1"),
    "HTTP_2.0": ("req.ver", "2.0"),
    "HTTP_CONTENT": ("req.hdr_val(content-length)", "gt", "0"),
    "HTTP_URL_ABS": ("url_reg", "^[^/:]*://"),
    "HTTP_URL_SLASH": ("url_beg", "/"),
    "HTTP_URL_STAR": ("url", "*"),
    "METH_CONNECT": ("method", "CONNECT"),
    "METH_DELETE": ("method", "DELETE"),
    "METH_GET": ("method", "GET", "HEAD"),
    "METH_HEAD": ("method", "HEAD"),
    "METH_OPTIONS": ("method", "OPTIONS"),
    "METH_POST": ("method", "POST"),
    "METH_PUT": ("method", "PUT"),
    "METH_TRACE": ("method", "TRACE"),
    "RDP_COOKIE": ("req.rdp_cookie_cnt", "gt", "0"),
    "REQ_CONTENT": ("req.len", "gt", "0"),
    "WAIT_END": ("wait_end",),
}
"""Section 7.4, as words of an `acl` line."""

LASTING = frozenset("method status unique-id http_first_req req.proto_http capture.req.hdr capture.res.hdr".split())
"""Fetches about a request or response that are still known when it is logged (observed)."""

_DEFAULT_METHOD = {"bool": "bool", "sint": "int", "addr": "ip", "str": "str", "meth": "meth"}


def _call(
    text: str, at: int, registry: AnyRegistry, served_elsewhere: frozenset[str], scope: Scope
) -> tuple[Spec, Entry[Callable[..., object]], int]:
    match = _WORD.match(text, at)
    if match is None:
        raise Refused(f"expected the name of a {registry.kind} at '{text[at:]}' in '{text}'")
    name, end = match[0], match.end()
    given: list[str] = []
    if text.startswith("(", end):
        given, end = split_arguments(text, end)
    entry = registry.get(name)
    if entry is None:
        if name in served_elsewhere:
            raise NotServed(f"{registry.kind} '{name}'")
        raise Refused(registry.unknown(name) if registry.entries else f"unknown {registry.kind} '{name}'")
    values = check_args(f"{registry.kind} '{name}'", entry.args, given)
    for arg, value in zip(entry.args, values, strict=False):
        if arg.kind is Kind.TABLE and scope.in_defaults and not value:
            raise Refused(f"'{name}' in a defaults section must name its table")
        if arg.kind in (*_REFERENCES, Kind.USERLIST) and isinstance(value, str):
            if arg.kind is Kind.SERVER and scope.in_defaults and "/" not in value:
                raise Refused(f"'{name}' in a defaults section must name its proxy: backend/{value}")
            scope.references.append(Reference(arg.kind, value, f"'{name}'", scope.proxy, scope.place))
    if entry.args and entry.args[-1].kind is Kind.ACLS:
        values = (*values[:-1], tuple(_acl_term(word.strip(), scope) for word in cast("tuple[str, ...]", values[-1])))
    if entry.args and entry.args[0].kind is Kind.MAP:
        values = (_map_use(name, entry, str(values[0]), scope), *values[1:])
    return Spec(name, values, scope.place), entry, end


def _map_use(name: str, entry: Entry[Callable[..., object]], text: str, scope: Scope) -> Patterns:
    file, optional = list_name(text)
    use = Patterns(
        file,
        method=str(entry.facts["match"]),
        columns=True,
        output=str(entry.facts["output"]),
        optional=optional,
        base=scope.base,
        criterion=name,
        place=scope.place,
    )
    scope.patterns.append(use)
    return use


def _acl_term(word: str, scope: Scope) -> Term:
    name = word.lstrip("!")
    predefined = parse_acl(list(PREDEFINED_ACLS[name]), scope) if name in PREDEFINED_ACLS else None
    return Term(name, predefined, len(word) - len(name) & 1 == 1)


def _try(spec: Spec, entry: Entry[Callable[..., object]]) -> None:
    """Call a converter's factory for its refusals, so that a bad literal is told with its line."""
    if entry.facts.get("finds"):
        return
    check = entry.facts.get("check")
    if callable(check):
        check(*spec.args)
        return
    for arg, value in zip(entry.args, spec.args, strict=False):
        if arg.kind in _REFERENCES:
            return
        if arg.kind is Kind.STR_OR_VAR and isinstance(value, str) and names_variable(value):
            return
    try:
        entry.factory(*spec.args)
    except NotServed:
        raise
    except Refused as refused:
        raise Refused(f"converter '{spec.name}': {refused.text}") from None


def parse_expr(text: str, scope: Scope, at: int = 0, until: str = "") -> tuple[Expr, str, int]:
    """Read `fetch(..),conv(..)` from `at` up to the character `until` (or the end).

    Returns the expression, the type it gives, and where it ends. Raises Refused or NotServed.
    """
    fetch, entry, end = _call(text, at, scope.language.fetches, known.FETCHES, scope)
    where = entry.facts.get("at", "any")
    if scope.at == "log" and where in ("request", "response") and fetch.name not in LASTING:
        raise WrongScope(
            f"'{fetch.name}' may not stand in a log format: the {where} is gone when the line is written; keep what"
            f" it gives in a variable, 'http-{where} set-var(txn.x) {fetch.name}', and log %[var(txn.x)]"
        )
    if where in ("request", "response") and scope.at not in ("any", "log") and where != scope.at:
        raise WrongScope(
            f"'{fetch.name}' may only stand in {where} rules, expressions and logs; this is a {scope.at} rule"
        )
    gives = str(entry.facts["gives"])
    converters: list[Spec] = []
    while text.startswith(",", end):
        converter, entry, end = _call(text, end + 1, scope.language.converters, known.CONVERTERS, scope)
        _try(converter, entry)
        converters.append(converter)
        takes = str(entry.facts.get("takes", "any"))
        if (gives, takes) in IMPOSSIBLE_CASTS:
            raise Refused(f"converter '{converter.name}' takes {takes}, and a sample of type {gives} cannot become it")
        gives = gives if entry.facts["gives"] == "same" else str(entry.facts["gives"])
    if until and not text.startswith(until, end):
        raise Refused(f"expected '{until}' after '{text[at:end]}' in '{text}'")
    if not until and end != len(text):
        raise Refused(f"unexpected '{text[end:]}' after '{text[:end]}'")
    return Expr(fetch, tuple(converters), text[at:end]), gives, end


_FORMAT = re.compile(r"%(?:\(([^()]*)\))?(?:\{([^}]*)\})?(?:(\[)|([A-Za-z][A-Za-z0-9]*)|(%))?")
_FLAGS = frozenset(("Q", "X", "E", "M", "json", "cbor", "bin"))
_ITEM_TYPES = ("str", "sint", "bool")


def parse_format(text: str, scope: Scope) -> Format:
    """Read a log format (section 8.2.6). Raises Refused or NotServed."""
    items: list[Literal | Variable | Sample | Encoding] = []
    flags: set[str] = {"M"} if scope.at == "log" else set()
    encoding: Encoding | None = None
    at = 0
    while at < len(text):
        percent = text.find("%", at)
        if percent < 0:
            items.append(Literal(text[at:]))
            break
        if percent > at:
            items.append(Literal(text[at:percent]))
        match = _FORMAT.match(text, percent)
        assert match is not None
        label, kind = _label(match[1] or "")
        local = _flags(match[2] or "", flags)
        at = match.end()
        if match[4] == "o":
            if "json" in local or "cbor" in local:
                encoding = Encoding("cbor" if "cbor" in local else "json", "bin" in local)
            flags = local - {"json", "cbor"}
            continue
        local -= {"bin"} - flags
        if match[3]:
            expr, _, end = parse_expr(text, scope, at, "]")
            items.append(Sample(expr, frozenset(local), label, kind))
            at = end + 1
        elif match[4]:
            entry = scope.language.variables.get(match[4])
            if entry is None:
                unknown = scope.language.variables.unknown("%" + match[4])
                raise Refused(f"{unknown}; write %% for the character itself")
            items.append(Variable(match[4], frozenset(local), label, kind, bool(entry.facts.get("http"))))
        elif match[5] and match[0] == "%%":
            items.append(Literal("%"))
        else:
            raise Refused(f"'%' at position {percent + 1} of '{text}' is followed by no variable; write %% for itself")
    if encoding is not None:
        items = [encoding, *(item for item in items if not isinstance(item, Literal))]
    return tuple(items)


def _label(text: str) -> tuple[str, str]:
    """The name of an item and the type forced on it: `name`, `name:type` or `:type`."""
    label, colon, kind = text.partition(":")
    if colon and kind not in _ITEM_TYPES:
        raise Refused(f"unknown item type '{kind}' in '%({text})'; known are {', '.join(_ITEM_TYPES)}")
    return label, kind


def _flags(text: str, current: set[str]) -> set[str]:
    flags = set(current)
    for part in text.split(","):
        name = part.lstrip("+-")
        if part and (name not in _FLAGS or len(part) > len(name) + 1):
            raise Refused(
                f"unknown log format flag '{part}'; known are +Q, +X, +E, +M, +bin, +json, +cbor and their '-' forms"
            )
        if part.startswith("+"):
            flags.add(name)
        elif part.startswith("-"):
            flags.discard(name)
    return flags


def parse_acl(words: list[str], scope: Scope) -> AclSpec:
    """Read the words of an ACL after its name: criterion, flags, patterns. Raises Refused or NotServed."""
    criterion, rest = words[0], words[1:]
    method, text = "", criterion
    name = _WORD.match(criterion)
    if name is not None and name[0] in ACL_ALIASES and name[0] not in scope.language.fetches:
        fetch, method = ACL_ALIASES[name[0]]
        text = fetch + criterion[name.end() :]
    try:
        expr, gives, _ = parse_expr(text, scope)
    except NotServed:
        raise
    except WrongScope as refused:
        scope.warn(scope.place, f"this ACL will never match: {refused.text}")
        return AclSpec(Expr(Spec("always_false")), "bool", place=scope.place)
    except Refused as refused:
        word = name[0] if name is not None else criterion
        if name is not None and word not in scope.language.fetches and word not in ACL_ALIASES:
            close = nearest(word, [*scope.language.fetches, *ACL_ALIASES])
            raise Refused(f"unknown ACL criterion '{word}'{close}") from None
        raise refused
    if expr.converters:
        # What a keyword such as hdr_beg implies is for the fetch alone.
        method = ""
    criterion = name[0] if name is not None else ""
    if criterion in _VERSIONS and not expr.converters:
        method = "version"
    method = method or _DEFAULT_METHOD.get(gives, "")
    flags = _acl_flags(rest, scope.language)
    method = flags.method or method
    if not method:
        raise Refused(f"a sample of the type of '{expr.text}' has no usual way to be matched; say one with '-m'")
    facts = scope.language.matchers.entries[method].facts
    if (gives, facts["takes"]) in IMPOSSIBLE_CASTS:
        raise Refused(f"match method '{method}' cannot be used with '{expr.text}', whose samples are {gives}")
    patterns = tuple(rest[: rest.index("")] if "" in rest else rest)
    if not patterns and not flags.files and not flags.ended and facts.get("patterns", True):
        scope.warn(
            scope.place,
            f"ACL on '{expr.text}' has no pattern and will never match; add '--' if that is meant, or use '-m found' or"
            " '-m bool' for a test without patterns",
        )
    shared = Patterns(method=method, criterion=criterion, resolves=flags.resolves, place=scope.place)
    uses = [
        replace(shared, file=file, ignore_case=fold, columns=columns, optional=optional, base=scope.base)
        for file, optional, fold, columns in flags.files
    ]
    uses.append(replace(shared, words=patterns, ignore_case=flags.ignore_case, number=flags.number))
    scope.patterns.extend(uses)
    return AclSpec(expr, method, tuple(uses), scope.place)


_VERSIONS = ("req.ssl_ver", "req_ssl_ver")
"""Criteria whose patterns are versions such as 3.1."""


@dataclass(slots=True)
class _AclFlags:
    """What stood between a criterion and its patterns."""

    method: str = ""
    ignore_case: bool = False
    resolves: bool = True
    ended: bool = False
    number: int | None = None
    files: list[tuple[str, bool, bool, bool]] = field(default_factory=list)
    """Name, whether it may be missing, without case, as a map: the flags in front of a file count for it."""


def _acl_flags(rest: list[str], language: Language) -> _AclFlags:
    """Take the flags off the front of `rest`. Raises Refused."""
    flags = _AclFlags()
    columns = False
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        flag = rest.pop(0)
        if flag == "--":
            flags.ended = True
            break
        if flag == "-i":
            flags.ignore_case = True
        elif flag == "-n":
            flags.resolves = False
        elif flag == "-M":
            columns = True
        elif flag == "-m":
            if flags.files:
                raise Refused("'-m' must stand before files and patterns")
            flags.method = _flag_value(flag, "a match method", rest)
            entry = language.matchers.get(flags.method)
            if entry is None:
                raise Refused(language.matchers.unknown(flags.method))
            if entry.facts.get("hidden"):
                raise Refused(f"match method '{flags.method}' cannot be asked for by '-m'")
        elif flag == "-f":
            name, optional = list_name(_flag_value(flag, "a file", rest))
            flags.files.append((name, optional, flags.ignore_case, columns))
        elif flag == "-u":
            text = _flag_value(flag, "a number", rest)
            if not text.isdecimal() or int(text) >= 1 << 31:
                raise Refused(f"'-u' expects a number, not '{text}'")
            flags.number = int(text)
        else:
            raise Refused(f"unknown ACL flag '{flag}'; use '--' before a pattern that begins with '-'")
    return flags


def _flag_value(flag: str, what: str, rest: list[str]) -> str:
    if not rest or not rest[0]:
        raise Refused(f"'{flag}' expects {what}")
    return rest.pop(0)


def parse_condition(words: list[str], scope: Scope, named: Callable[[str], bool]) -> Cond:
    """Read `if ...` or `unless ...`; `named` tells whether an ACL of that name exists. Raises Refused."""
    unless = words[0] == "unless"
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    negated, i = False, 1
    while i < len(words):
        word = words[i]
        i += 1
        if word in ("or", "||"):
            if not terms or negated:
                raise Refused(f"'{word}' must stand between two conditions")
            alternatives.append(tuple(terms))
            terms = []
            continue
        while word.startswith("!"):
            negated, word = not negated, word[1:]
        if not word:
            continue
        if word == "{":
            try:
                end = words.index("}", i)
            except ValueError:
                raise Refused("missing closing '}' of an anonymous ACL; braces stand alone between blanks") from None
            if "" in words[i:end]:
                raise Refused("an empty pattern ends an ACL, and '}' is missing then; match emptiness by '-m len 0'")
            if end == i:
                raise Refused("an anonymous ACL '{ }' needs a criterion")
            terms.append(Term("", parse_acl(words[i:end], scope), negated))
            i = end + 1
        elif word in PREDEFINED_ACLS and not named(word):
            terms.append(Term(word, parse_acl(list(PREDEFINED_ACLS[word]), scope), negated))
        elif named(word):
            terms.append(Term(word, None, negated))
        else:
            raise Refused(f"no such ACL : '{word}'{nearest(word, PREDEFINED_ACLS)}")
        negated = False
    if negated or not terms:
        raise Refused(f"'{words[0]}' expects a condition")
    alternatives.append(tuple(terms))
    return Cond(tuple(alternatives), unless)


def split_condition(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Cut the words of a rule in front of its `if` or `unless`."""
    for i, word in enumerate(words):
        if word in ("if", "unless"):
            return list(words[:i]), list(words[i:])
    return list(words), []
