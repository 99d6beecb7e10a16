"""What options of `bind` and `server` lines have in common."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.keywords.secure import read_option
from trilb.config.lines import Tls


def secured(tls: Tls, where: str, words: tuple[str, ...], i: int, column: int) -> int:
    """A TLS option; how many words it took, 0 when it is something else. Raises Refused."""
    try:
        return read_option(tls, where, words, i)
    except Refused as refused:
        raise Refused(refused.text, column=column) from None


def value_of(words: tuple[str, ...], i: int, option: str, column: int) -> str:
    """The argument of an option, which must be there. Raises Refused."""
    if i >= len(words):
        raise Refused(f"'{option}' expects an argument", column=column)
    return words[i]
