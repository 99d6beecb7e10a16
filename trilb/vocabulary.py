"""Gathers what the rooms registered into one Language. Importing a room's modules is what registers."""

from __future__ import annotations

import importlib
import pkgutil

from trilb.config.language import Language

_ROOMS = ("trilb.samples", "trilb.balance", "trilb.rules")


def language() -> Language:
    """The whole vocabulary. Imports every module of the rooms that register; cheap the second time."""
    for room in _ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{room}.{module.name}")
    from trilb.balance.registry import algorithms
    from trilb.rules.registry import families
    from trilb.samples.logvars import variables
    from trilb.samples.types import converters, fetches, matchers

    return Language(fetches, converters, algorithms, families, matchers, variables)
