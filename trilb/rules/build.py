"""Rules to steps: one closure a rule, its condition inside. Runs at load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trilb.base.diagnostic import Place, Refused
from trilb.config.model import Proxy
from trilb.config.terms import Rule
from trilb.live.effects import MORE, Allow, Effect
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import Builder, families
from trilb.samples.build import Uncertain


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Give what is refused inside the place of the line it belongs to."""
    try:
        yield
    except Refused as refused:
        if refused.place is None:
            refused.place = place
        raise


def rule_set(family: str, proxy: Proxy, builder: Builder) -> Step | None:
    """All rules of one set as one step; None when there are none.

    After an effect that only takes time the shell calls the step again, and it goes on with the rule that
    `stream.position` names.
    """
    rules = proxy.rules.get(family, ())
    return rule_steps(family, rules, builder) if rules else None


def rule_steps(family: str, rules: tuple[Rule, ...], builder: Builder) -> Step:
    """These rules, read as those of a set, as one step."""
    made: list[Step] = []
    for at, rule in enumerate(rules):
        with placed(rule.place):
            made.append(_step(family, rule, at + 1, builder))
    fixed = tuple(made)

    def run(stream: Stream) -> Effect | None:
        steps = fixed
        if stream.position:
            steps = fixed[stream.position :]
            stream.position = 0
        for step in steps:
            effect = step(stream)
            if effect is not None:
                return None if type(effect) is Allow else effect
        return None

    return run


def _step(family: str, rule: Rule, following: int, builder: Builder) -> Step:
    entry = families[family].entries[rule.act.name]
    builder.family = family
    act = entry.factory(*rule.act.args, builder)
    if entry.facts.get("resumes"):
        act = _resuming(act, following)
    elif entry.facts.get("final"):
        act = _final(act, rule.place)
    if rule.when is None:
        return act
    when = builder.condition(rule.when)
    return lambda stream: act(stream) if when(stream) else None


def _resuming(act: Step, following: int) -> Step:
    def run(stream: Stream) -> Effect | None:
        effect = act(stream)
        if effect is not None:
            stream.position = following
        return effect

    return run


def _final(act: Step, place: Place) -> Step:
    def run(stream: Stream) -> Effect | None:
        effect = act(stream)
        if effect is not None:
            stream.last_rule = place
        return effect

    return run


def content_set(family: str, proxy: Proxy, builder: Builder) -> Step | None:
    """The content rules of a proxy as one step that answers MORE while a rule cannot be decided.

    It goes on with the rule at `stream.position`, which it keeps; the shell sets it to 0 before the first call.
    """
    rules = proxy.rules.get(family, ())
    if not rules:
        return None
    made: list[tuple[Uncertain | None, Step, Rule]] = []
    for rule in rules:
        builder.family = family
        with placed(rule.place):
            act = families[family].entries[rule.act.name].factory(*rule.act.args, builder)
            made.append((builder.uncertain(rule.when) if rule.when is not None else None, act, rule))
    fixed = tuple(made)

    def run(stream: Stream) -> Effect | None:
        for at in range(stream.position, len(fixed)):
            when, act, rule = fixed[at]
            held = when(stream) if when is not None else True
            if held is None:
                stream.position = at
                return MORE
            if not held:
                continue
            effect = act(stream)
            if effect is not None:
                if effect is MORE:
                    stream.position = at
                    return MORE
                stream.position = at + 1
                stream.last_rule = rule.place
                return effect
        return None

    return run
