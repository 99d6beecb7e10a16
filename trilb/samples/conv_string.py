"""String converters (configuration.txt, section 7.3.1). The rest of the section comes with the rules language."""

from __future__ import annotations

from trilb.samples.types import Convert, as_bytes, converter


@converter("lower", takes="str", gives="str", source="7.3.1")
def lower() -> Convert:
    """To lower case."""
    return lambda value: as_bytes(value).lower()


@converter("upper", takes="str", gives="str", source="7.3.1")
def upper() -> Convert:
    """To upper case."""
    return lambda value: as_bytes(value).upper()
