"""From checked Specs to closures: expressions, ACLs and conditions. Runs at load, never while serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, names_variable
from trilb.config.terms import AclSpec, Cond, Expr, Spec, Term
from trilb.live.stream import Stream
from trilb.samples import casts
from trilb.samples.indexes import Find
from trilb.samples.tables import key_type
from trilb.samples.types import Convert, Every, Fetch, Resolver, StreamConvert, Value, converters, fetches, matchers
from trilb.samples.variables import Variable
from trilb.tables.store import Table

_REFERENCES = (Kind.FRONTEND, Kind.BACKEND, Kind.SERVER, Kind.TABLE, Kind.USERLIST)
_VARIABLES = (Kind.VAR, Kind.INT_OR_VAR, Kind.STR_OR_VAR)
Condition = Callable[[Stream], bool]


def _arguments(spec: Spec, args: tuple[Arg, ...], resolver: Resolver) -> list[object]:
    made: list[object] = []
    for arg, value in zip(args, spec.args, strict=False):
        if arg.kind is Kind.MAP or (arg.kind in _REFERENCES and isinstance(value, str)):
            made.append(resolver.resolve(arg.kind, value))
        elif arg.kind is Kind.ACLS:
            made.append(tuple(_named(term, resolver) for term in cast("tuple[Term, ...]", value)))
        elif arg.kind in _VARIABLES and isinstance(value, str) and names_variable(value):
            made.append(Variable(value))
        else:
            made.append(value)
    return made


def _named(term: Term, resolver: Resolver) -> tuple[Condition, bool]:
    """The test of an ACL that the `acl` fetch names, and what it must answer."""
    test = resolver.resolve(Kind.ACLS, term.name)
    if test is None:
        if term.acl is None:
            raise Refused(f"no such ACL : '{term.name}'")
        test = acl(term.acl, resolver)
    return test, not term.negated


def _adapted(convert: Convert) -> StreamConvert:
    return lambda value, stream: convert(value)


def _chain(spec: Expr, resolver: Resolver, wanted: str = "") -> Convert | StreamConvert | None:
    """All converters of an expression, and the casts between them (at last to `wanted`), as one function.

    It takes (value, stream) if `_streams` says so, else the value alone.
    """
    streams = _streams(spec)
    made: list[Convert | StreamConvert] = []

    def add(step: Convert | StreamConvert, with_stream: bool = False) -> None:
        made.append(step if with_stream == streams else _adapted(cast(Convert, step)))

    kind = str(fetches.entries[spec.fetch.name].facts["gives"])
    for one in spec.converters:
        entry = converters.entries[one.name]
        arguments = _arguments(one, entry.args, resolver)
        takes = str(entry.facts.get("takes", "any"))
        if entry.facts.get("table"):
            takes = key_type(next(each for each in arguments if isinstance(each, Table)), kind)
        between = casts.cast(kind, takes)
        if between is not None:
            add(between)
        finder = (resolver,) if entry.facts.get("finds") else ()
        add(entry.factory(*finder, *arguments), bool(entry.facts.get("stream")))
        kind = kind if entry.facts["gives"] == "same" else str(entry.facts["gives"])
    last = casts.cast(kind, wanted) if wanted else None
    if last is not None:
        add(last)
    if len(made) <= 1:
        return made[0] if made else None
    if streams:
        with_stream = cast("list[StreamConvert]", made)

        def run_streams(value: Value, stream: Stream) -> Value | None:
            result: Value | None = value
            for convert in with_stream:
                if result is None:
                    return None
                result = convert(result, stream)
            return result

        return run_streams
    plain = cast("list[Convert]", made)

    def run(value: Value) -> Value | None:
        result: Value | None = value
        for convert in plain:
            if result is None:
                return None
            result = convert(result)
        return result

    return run


def _streams(spec: Expr) -> bool:
    return any(converters.entries[one.name].facts.get("stream") for one in spec.converters)


def expression(spec: Expr, resolver: Resolver, wanted: str = "") -> Fetch:
    """The closure that evaluates an expression, cast to the type `wanted`; it returns None when the sample is missing.

    Raises Refused when there is no such cast.
    """
    entry = fetches.entries[spec.fetch.name]
    fetch = entry.factory(*_arguments(spec.fetch, entry.args, resolver))
    convert = _chain(spec, resolver, wanted)
    if convert is None:
        return fetch
    if _streams(spec):
        with_stream = cast(StreamConvert, convert)

        def run_stream(stream: Stream) -> Value | None:
            value = fetch(stream)
            return None if value is None else with_stream(value, stream)

        return run_stream
    plain = cast(Convert, convert)

    def run(stream: Stream) -> Value | None:
        value = fetch(stream)
        return None if value is None else plain(value)

    return run


def gives(spec: Expr) -> str:
    """The type an expression results in."""
    kind = str(fetches.entries[spec.fetch.name].facts["gives"])
    for one in spec.converters:
        result = str(converters.entries[one.name].facts["gives"])
        kind = kind if result == "same" else result
    return kind


def text(spec: Expr, resolver: Resolver) -> Callable[[Stream], bytes | None]:
    """An expression whose result is cast to a string; addresses become their usual spelling."""
    return cast(Callable[[Stream], "bytes | None"], expression(spec, resolver, "str"))


def _every(spec: Expr, resolver: Resolver, wanted: str) -> Every | None:
    entry = fetches.entries[spec.fetch.name]
    factory = entry.facts.get("every")
    if factory is None:
        return None
    every = cast(Callable[..., Every], factory)(*_arguments(spec.fetch, entry.args, resolver))
    convert = _chain(spec, resolver, wanted)
    if convert is None:
        return every
    if _streams(spec):
        with_stream = cast(StreamConvert, convert)
        return lambda stream: [v for v in (with_stream(value, stream) for value in every(stream)) if v is not None]
    plain = cast(Convert, convert)
    return lambda stream: [v for v in (plain(value) for value in every(stream)) if v is not None]


def acl(spec: AclSpec, resolver: Resolver) -> Condition:
    """The closure of one ACL line."""
    wanted = str(matchers.entries[spec.method].facts["takes"])
    every = _every(spec.expr, resolver, wanted)
    fetch = expression(spec.expr, resolver, wanted) if every is None else None
    if spec.method == "found":
        if fetch is not None:
            return lambda stream: fetch(stream) is not None
        return lambda stream: any(True for _ in cast(Every, every)(stream))
    if spec.method == "bool":
        if fetch is not None:
            return lambda stream: bool(fetch(stream))
        return lambda stream: any(cast(Every, every)(stream))
    return _matches(fetch, every, [resolver.resolve(Kind.MAP, use).index.find for use in spec.patterns])


def _matches(fetch: Fetch | None, every: Every | None, finds: list[Find]) -> Condition:
    """Whether one of the indexes finds the sample, or one of the samples."""
    if len(finds) == 1:
        (find,) = finds
        if fetch is not None:

            def one(stream: Stream) -> bool:
                value = fetch(stream)
                return value is not None and find(value) is not None

            return one
        samples = cast(Every, every)

        def any_of(stream: Stream) -> bool:
            return any(find(value) is not None for value in samples(stream))

        return any_of

    def anywhere(value: Value) -> bool:
        return any(find(value) is not None for find in finds)

    if fetch is not None:

        def one_anywhere(stream: Stream) -> bool:
            value = fetch(stream)
            return value is not None and anywhere(value)

        return one_anywhere
    return lambda stream: any(anywhere(value) for value in cast(Every, every)(stream))


def named(name: str, acls: Mapping[str, tuple[AclSpec, ...]], resolver: Resolver) -> Condition | None:
    """The closure of an ACL by its name, None when the proxy has none of that name."""
    tests = [acl(one, resolver) for one in acls.get(name, ())]
    return _any(tests) if tests else None


def condition(spec: Cond, named: Mapping[str, tuple[AclSpec, ...]], resolver: Resolver) -> Condition:
    """The closure of an `if` or `unless`."""
    alternatives: list[tuple[tuple[Condition, bool], ...]] = []
    for terms in spec.alternatives:
        built: list[tuple[Condition, bool]] = []
        for term in terms:
            specs = (term.acl,) if term.acl is not None else term.resolved or named[term.name]
            tests = [acl(one, resolver) for one in specs]
            built.append((tests[0] if len(tests) == 1 else _any(tests), not term.negated))
        alternatives.append(tuple(built))
    unless = spec.unless
    if len(alternatives) == 1 and len(alternatives[0]) == 1:
        test, wanted = alternatives[0][0]
        if wanted != unless:
            return test
        return lambda stream: not test(stream)
    fixed = tuple(alternatives)

    def run(stream: Stream) -> bool:
        for terms in fixed:
            for test, wanted in terms:
                if test(stream) is not wanted:
                    break
            else:
                return not unless
        return unless

    return run


def _any(tests: list[Condition]) -> Condition:
    return lambda stream: any(test(stream) for test in tests)


Uncertain = Callable[[Stream], "bool | None"]
"""A condition over bytes that are still arriving: None means that more of them may change the answer."""


def _awaiting(spec: AclSpec, test: Condition) -> Condition:
    """A test of the request, unknown while no request was recognised in what has come."""
    facts = fetches.entries[spec.expr.fetch.name].facts
    if facts.get("at") != "request" or fetches.entries[spec.expr.fetch.name].source != "7.3.6":
        return test

    def run(stream: Stream) -> bool:
        if stream.request is None and not stream.not_http:
            stream.may_change = True
        return test(stream)

    return run


def uncertain(spec: Cond, named: Mapping[str, tuple[AclSpec, ...]], resolver: Resolver) -> Uncertain:
    """The closure of a condition in content rules, three-valued (configuration.txt, `tcp-request content`).

    A test that does not hold is unknown while what it looks at may change; a test that holds, holds.
    """
    alternatives: list[tuple[tuple[Condition, bool], ...]] = []
    for terms in spec.alternatives:
        built: list[tuple[Condition, bool]] = []
        for term in terms:
            specs = (term.acl,) if term.acl is not None else term.resolved or named[term.name]
            tests = [_awaiting(one, acl(one, resolver)) for one in specs]
            built.append((tests[0] if len(tests) == 1 else _any(tests), not term.negated))
        alternatives.append(tuple(built))
    unless, fixed = spec.unless, tuple(alternatives)

    def all_of(terms: tuple[tuple[Condition, bool], ...], stream: Stream) -> bool | None:
        unknown = False
        for test, wanted in terms:
            stream.may_change = False
            held = test(stream)
            if not held and stream.may_change and not stream.inspect_done:
                unknown = True
            elif held is not wanted:
                return False
        return None if unknown else True

    def run(stream: Stream) -> bool | None:
        unknown = False
        for terms in fixed:
            result = all_of(terms, stream)
            if result:
                return not unless
            if result is None:
                unknown = True
        return None if unknown else unless

    return run
