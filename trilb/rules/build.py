"""Rules to steps: one closure a rule, its condition inside. Runs at load."""

from __future__ import annotations

from trilb.config.model import Proxy, Rule
from trilb.live.effects import MORE, Allow, Effect
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import Builder, families
from trilb.samples.build import Uncertain


def rule_set(family: str, proxy: Proxy, builder: Builder) -> Step | None:
    """All rules of one set of a proxy as one step; None when there are none."""
    steps = [_step(family, rule, builder) for rule in proxy.rules.get(family, ())]
    if not steps:
        return None
    if len(steps) == 1:
        return _without_allow(steps[0])
    fixed = tuple(steps)

    def run(stream: Stream) -> Effect | None:
        for step in fixed:
            effect = step(stream)
            if effect is not None:
                return None if type(effect) is Allow else effect
        return None

    return run


def _without_allow(step: Step) -> Step:
    def run(stream: Stream) -> Effect | None:
        effect = step(stream)
        return None if type(effect) is Allow else effect

    return run


def _step(family: str, rule: Rule, builder: Builder) -> Step:
    entry = families[family].entries[rule.act.name]
    builder.family = family
    act = entry.factory(*rule.act.args, builder)
    if rule.when is None:
        return act
    when = builder.condition(rule.when)
    return lambda stream: act(stream) if when(stream) else None


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
                stream.position = at + 1
                stream.last_rule = rule.place
                return effect
        return None

    return run
