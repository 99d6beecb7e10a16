"""What an agent's line says (configuration.txt, `agent-check`; what the manual leaves open is as observed). Pure.

Words stand between spaces, tabs and commas; of each kind the last one counts. A sharp where a word may begin starts the
description, which goes to the end of the line. Case does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"[ \t,]*([^ \t,]+)")
_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One line. What was not said is empty; `maxconn` is None, as an empty one is an error."""

    weight: str = ""
    """As `set weight` takes it: a number, or a percentage of the configured weight."""
    maxconn: str | None = None
    admin: str = ""
    """ready, drain or maint."""
    state: str = ""
    """up, down, stopped or fail, as it was written."""
    description: str = ""
    unknown: str = ""
    """The first word that means nothing."""


def line_of(data: bytes) -> str | None:
    """The first line, None while it is not complete."""
    end = _END.search(data)
    return data[: end.start()].decode("latin-1") if end is not None else None


def read(line: str) -> Reply:
    """Take a line apart; any line will do."""
    said = {"weight": "", "admin": "", "state": "", "description": "", "unknown": ""}
    maxconn: str | None = None
    at = 0
    while (found := _WORD.match(line, at)) is not None:
        at, word = found.end(), found[1]
        small = word.lower()
        if word[0] == "#":
            said["description"] = line[found.start(1) + 1 :].lstrip(" \t")
            break
        if word[0] in "0123456789" and "%" in word:
            said["weight"] = word
        elif small.startswith("weight:") and len(word) > 7:
            said["weight"] = word[7:]
        elif small.startswith("maxconn:"):
            maxconn = word[8:]
        elif small in ("ready", "drain", "maint"):
            said["admin"] = small
        elif small in ("up", "down", "stopped", "fail"):
            said["state"] = word
        else:
            said["unknown"] = said["unknown"] or word
    return Reply(maxconn=maxconn, **said)


def shown(reply: Reply, complaint: str) -> str:
    """What logs tell of a state: the word, and in parentheses the description, or else what was wrong with the line."""
    more = reply.description or reply.unknown or complaint
    return f"via agent : {reply.state}" + (f" ({more})" if more else "")
