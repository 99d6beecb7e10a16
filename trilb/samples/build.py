"""From checked Specs to closures: expressions, ACLs and conditions. Runs at load, never while serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from trilb.base import ip
from trilb.base.registry import Arg, Kind
from trilb.config.model import AclSpec, Cond, Expr, Spec
from trilb.live.stream import Stream
from trilb.samples.types import Convert, Every, Fetch, Resolver, Value, converters, fetches, matchers

_REFERENCES = (Kind.FRONTEND, Kind.BACKEND, Kind.SERVER)
Condition = Callable[[Stream], bool]


def _arguments(spec: Spec, args: tuple[Arg, ...], resolver: Resolver) -> list[object]:
    return [
        resolver.resolve(arg.kind, value) if arg.kind in _REFERENCES and isinstance(value, str) else value
        for arg, value in zip(args, spec.args, strict=False)
    ]


def _chain(spec: Expr) -> Convert | None:
    """All converters of an expression as one function."""
    made = [converters.entries[c.name].factory(*c.args) for c in spec.converters]
    if not made:
        return None
    if len(made) == 1:
        return made[0]

    def run(value: Value) -> Value | None:
        result: Value | None = value
        for convert in made:
            if result is None:
                return None
            result = convert(result)
        return result

    return run


def expression(spec: Expr, resolver: Resolver) -> Fetch:
    """The closure that evaluates an expression; it returns None when the sample is missing."""
    entry = fetches.entries[spec.fetch.name]
    fetch = entry.factory(*_arguments(spec.fetch, entry.args, resolver))
    convert = _chain(spec)
    if convert is None:
        return fetch

    def run(stream: Stream) -> Value | None:
        value = fetch(stream)
        return None if value is None else convert(value)

    return run


def gives(spec: Expr) -> str:
    """The type an expression results in."""
    last = spec.converters[-1] if spec.converters else None
    entry_facts = converters.entries[last.name].facts if last else fetches.entries[spec.fetch.name].facts
    return str(entry_facts["gives"])


def text(spec: Expr, resolver: Resolver) -> Callable[[Stream], bytes | None]:
    """An expression whose result is cast to a string; addresses become their usual spelling."""
    run = expression(spec, resolver)
    if gives(spec) == "addr":

        def address(stream: Stream) -> bytes | None:
            value = run(stream)
            return ip.text(value).encode() if isinstance(value, bytes) else None

        return address
    if gives(spec) in ("str", "bin", "meth"):
        return cast(Callable[[Stream], "bytes | None"], run)

    def number(stream: Stream) -> bytes | None:
        value = run(stream)
        return None if value is None else str(int(value)).encode()

    return number


def _every(spec: Expr, resolver: Resolver) -> Every | None:
    entry = fetches.entries[spec.fetch.name]
    factory = entry.facts.get("every")
    if factory is None:
        return None
    every = cast(Callable[..., Every], factory)(*_arguments(spec.fetch, entry.args, resolver))
    convert = _chain(spec)
    if convert is None:
        return every
    return lambda stream: [v for v in (convert(value) for value in every(stream)) if v is not None]


def acl(spec: AclSpec, resolver: Resolver) -> Condition:
    """The closure of one ACL line."""
    match = matchers.entries[spec.method].factory(spec.patterns, spec.ignore_case)
    if spec.method == "ip" and gives(spec.expr) != "addr":
        inner = match

        def match(value: Value) -> bool:
            try:
                return isinstance(value, bytes) and inner(ip.packed(value.decode("latin-1")))
            except ValueError:
                return False

    every = _every(spec.expr, resolver)
    if every is not None:

        def any_of(stream: Stream) -> bool:
            return any(match(value) for value in every(stream))

        return any_of
    fetch = expression(spec.expr, resolver)

    def one(stream: Stream) -> bool:
        value = fetch(stream)
        return value is not None and match(value)

    return one


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
