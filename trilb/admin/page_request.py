"""What is asked of the statistics page: the words behind its URI, each beginning with a semicolon (pure)."""

from __future__ import annotations

import re

_FORMATS = (b";json-schema", b";json", b";typed", b";csv")
"""The first of these that stands anywhere in the target decides (observed)."""
_SCOPE = re.compile(rb"scope=([^;&]*)")
_SCOPE_NAME = re.compile(rb"[A-Za-z0-9_.:-]+")
SCOPE_LENGTH = 20
"""A longer scope is cut (observed)."""

OUTCOMES = {
    "DONE": ("good", "Done."),
    "NONE": ("note", "Nothing has changed."),
    "PART": ("note", "Done in part: some of these servers are not known."),
    "ERRP": ("bad", "Nothing was done: no such action, backend or server."),
    "EXCD": ("bad", "Nothing was done: too many servers at once. Try fewer."),
    "DENY": ("bad", "Denied."),
}
"""What `;st=` says of a change: HAProxy's words, and how the page puts them."""


class Asked:
    """A request for the page; `view` makes such words again, for links and for where a form leads to."""

    __slots__ = ("form", "no_maint", "outcome", "refresh", "scope", "up")

    def __init__(self, rest: bytes) -> None:
        self.form = next((word[1:].decode() for word in _FORMATS if word in rest), "html")
        self.up = b";up" in rest
        """Only servers that are up."""
        self.no_maint = b";no-maint" in rest
        self.refresh = b";norefresh" not in rest
        found = _SCOPE.search(rest)
        scope = found[1][:SCOPE_LENGTH] if found is not None else b""
        self.scope = scope.decode() if _SCOPE_NAME.fullmatch(scope) else ""
        """Only proxies with this in their names, in upper or lower case."""
        at = rest.find(b";st=")
        outcome = rest[at + 4 : at + 8].decode("latin-1") if at >= 0 else ""
        self.outcome = outcome if outcome in OUTCOMES else ""

    def words(self, **changed: object) -> str:
        """The words for a page like this one, with some of its properties changed."""
        value = {name: changed.get(name, getattr(self, name)) for name in ("up", "no_maint", "refresh", "scope")}
        text = f";st={changed['outcome']}" if "outcome" in changed else ""
        text += f";{changed['form']}" if "form" in changed else ""
        text += ";up" * bool(value["up"]) + ";no-maint" * bool(value["no_maint"])
        text += ";norefresh" * (not value["refresh"])
        return text + (f"?scope={value['scope']}" if value["scope"] else "")

    def shows(self, proxy: str) -> bool:
        """Is the proxy asked for?"""
        return self.scope.lower() in proxy.lower()
