"""The reference that `trilb doc` prints, made wholly from the registries: what is registered is what is told.

`trilb doc` lists the kinds, `trilb doc KIND` its names, `trilb doc KIND NAME` one of them; `trilb doc --markdown` is
docs/reference.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trilb.base.diagnostic import Refused, nearest
from trilb.base.registry import Arg, Entry
from trilb.config.keywords.registry import SECTIONS, Keyword
from trilb.config.language import AnyRegistry, Language

USAGE = "usage: trilb doc [--markdown | fetch|converter|action|keyword|match|balance|variable [NAME]]"
_SIDES = {"D": "defaults", "F": "frontend", "L": "listen", "B": "backend"}
_AT = {"request": "requests", "response": "responses", "any": "anywhere"}
_KINDS_OF_VALUE = {"addr": "address", "fixed": "text, never quoted", "list": "list of str", "port": "port number"}


@dataclass(slots=True)
class Topic:
    """One thing with all its names."""

    names: list[str]
    usage: str
    text: str
    section: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    args: tuple[Arg, ...] = ()


def _text(function: object) -> str:
    return inspect.cleandoc(getattr(function, "__doc__", "") or "")


def _usage(name: str, args: tuple[Arg, ...]) -> str:
    if not args:
        return name
    words = ""
    for arg in args:
        comma = "," if words else ""
        words += f"{comma}<{arg.name}>" if arg.required else f"[{comma}<{arg.name}>]"
    return f"{name}({words})"


def _entries(
    registry: AnyRegistry, facts: Callable[[Entry[Callable[..., object]]], list[tuple[str, str]]]
) -> list[Topic]:
    """One topic a factory, with the first of its names in front."""
    topics: dict[int, Topic] = {}
    for name, entry in registry.entries.items():
        if entry.facts.get("untold"):
            continue
        known = topics.get(id(entry.factory))
        if known is not None and known.args == entry.args:
            known.names.append(name)
            continue
        made = Topic([name], _usage(name, entry.args), _text(entry.factory), entry.source, facts(entry), entry.args)
        topics[id(entry.factory) if known is None else id(made)] = made
    return sorted(topics.values(), key=lambda topic: topic.names[0])


def _fetch(entry: Entry[Callable[..., object]]) -> list[tuple[str, str]]:
    found = [("gives", str(entry.facts["gives"])), ("stands in", _AT[str(entry.facts.get("at", "any"))])]
    if "every" in entry.facts:
        found.append(("in ACLs", "all values are tried"))
    return found


def _converter(entry: Entry[Callable[..., object]]) -> list[tuple[str, str]]:
    gives = str(entry.facts["gives"])
    return [
        ("takes", str(entry.facts.get("takes", "any"))),
        ("gives", "what it takes" if gives == "same" else gives),
    ]


def _variable(entry: Entry[Callable[..., object]]) -> list[tuple[str, str]]:
    kind = str(entry.facts["kind"])
    found = [("gives", _KINDS_OF_VALUE.get(kind, kind))]
    if entry.facts.get("http"):
        found.append(("stands in", "mode http"))
    if entry.facts.get("hex") or kind in ("addr", "port"):
        found.append(("+X", "hexadecimal"))
    return found


def _actions(language: Language) -> list[Topic]:
    """An action is one topic for all the rule sets that have it with the same factory."""
    topics: dict[tuple[int, str], Topic] = {}
    for family, registry in language.actions.items():
        for name, entry in registry.entries.items():
            if entry.facts.get("untold"):
                continue
            known = topics.get((id(entry.factory), name))
            if known is None:
                facts = [("stands in", family)]
                if entry.facts.get("final"):
                    facts.append(("final", "rules after it are not looked at"))
                topics[id(entry.factory), name] = Topic([name], name, _text(entry.factory), entry.source, facts)
            else:
                known.facts[0] = ("stands in", f"{known.facts[0][1]}, {family}")
    return sorted(topics.values(), key=lambda topic: (topic.names[0], topic.facts[0][1]))


def _keywords() -> list[Topic]:
    topics = []
    for section, table in SECTIONS.items():
        for keyword in table.values():
            topics.append(_keyword(section, keyword))
    return sorted(topics, key=lambda topic: (topic.names[0], topic.facts[0][1]))


def _keyword(section: str, keyword: Keyword) -> Topic:
    where = ", ".join(_SIDES[side] for side in keyword.where) if section == "proxy" else section
    facts = [("stands in", where)]
    if keyword.negatable:
        facts.append(("negation", f"no {keyword.name}"))
    return Topic([keyword.name], keyword.name, _text(keyword.function), "", facts)


def topics(language: Language) -> dict[str, list[Topic]]:
    """Everything registered, by kind."""
    return {
        "fetch": _entries(language.fetches, _fetch),
        "converter": _entries(language.converters, _converter),
        "action": _actions(language),
        "keyword": _keywords(),
        "match": _entries(language.matchers, lambda entry: []),
        "balance": _entries(language.algorithms, lambda entry: []),
        "variable": _entries(language.variables, _variable),
    }


TITLES = {
    "fetch": "Sample fetches",
    "converter": "Converters",
    "action": "Actions",
    "keyword": "Keywords",
    "match": "Match methods",
    "balance": "Balancing algorithms",
    "variable": "Log format variables",
}


def _argument(arg: Arg) -> str:
    if arg.required:
        return arg.kind.value
    default = "" if arg.default in (None, "") else f", {arg.default} by default"
    return f"{arg.kind.value}, may be left out{default}"


def _shown(topic: Topic, sign: str) -> Iterable[str]:
    source = f"    (configuration.txt, {topic.section})" if topic.section else ""
    yield f"{sign}{topic.usage}{source}"
    yield from ("    " + line if line else "" for line in topic.text.split("\n"))
    if len(topic.names) > 1:
        yield f"    also: {', '.join(sign + name for name in topic.names[1:])}"
    for what, value in topic.facts:
        yield f"    {what}: {value}"
    for arg in topic.args:
        yield f"    <{arg.name}>: {_argument(arg)}"


def show(language: Language, words: list[str]) -> str:
    """The answer to `trilb doc WORDS`. Raises Refused for words that mean nothing."""
    every = topics(language)
    if words == ["--markdown"]:
        return markdown(language)
    if not words:
        counts = "\n".join(f"  {kind:<10} {TITLES[kind].lower()}: {len(found)}" for kind, found in every.items())
        return f"{USAGE}\n{counts}\n"
    kind = words[0]
    if kind not in every:
        raise Refused(f"unknown kind '{kind}'{nearest(kind, every)}; {USAGE}")
    if len(words) > 2:
        raise Refused(USAGE)
    sign = "%" if kind == "variable" else ""
    if len(words) == 1:
        lines = [f"{sign + ', '.join(topic.names):<24} {topic.text.partition(chr(10))[0]}" for topic in every[kind]]
        return "\n".join(lines) + "\n"
    name = words[1].removeprefix("%")
    found = [topic for topic in every[kind] if name in topic.names]
    if not found:
        known = [other for topic in every[kind] for other in topic.names]
        raise Refused(f"unknown {kind} '{name}'{nearest(name, known)}")
    return "\n\n".join("\n".join(_shown(topic, sign)) for topic in found) + "\n"


def markdown(language: Language) -> str:
    """docs/reference.md."""
    lines = [
        "# Reference",
        "",
        "What trilb serves, printed by `trilb doc --markdown` from its registries; not to be edited. Sections are those"
        " of HAProxy's configuration.txt.",
    ]
    for kind, found in topics(language).items():
        lines += ["", f"## {TITLES[kind]}"]
        sign = "%" if kind == "variable" else ""
        for topic in found:
            source = f" ({topic.section})" if topic.section else ""
            also = f", also {', '.join(f'`{sign}{name}`' for name in topic.names[1:])}" if topic.names[1:] else ""
            lines += ["", f"`{sign}{topic.usage}`{also}{source}: {topic.text.replace(chr(10), ' ')}"]
            lines += [f"- {what}: {value}" for what, value in topic.facts]
            lines += [f"- `{arg.name}`: {_argument(arg)}" for arg in topic.args]
    return "\n".join(lines) + "\n"
