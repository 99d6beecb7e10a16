"""What happens to proxies and servers, on the standard error too: for who sits there, and for the service's journal.

It never waits: a line that a full pipe has no room for is left out; the log has it.
"""

from __future__ import annotations

import os
import re
import select
from contextlib import suppress
from typing import Final

_STDERR: Final = 2
_NAMED: Final = re.compile(r"^(backend|proxy) (\S+) has no server")


class Console:
    """The standard error of a process that serves."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(_STDERR, select.POLLOUT)

    def show(self, text: str, level: str) -> None:
        """A line as HAProxy writes it there; `level` is the log's."""
        if level == "emerg":
            # The one line that differs from the log's, as in HAProxy.
            tag, text = "[ALERT]", _NAMED.sub(r"\1 '\2' has no server", text)
        else:
            tag = "[WARNING]"
        line = f"{tag:<10} ({os.getpid()}) : {text}\n".encode("latin-1", "replace")
        with suppress(OSError):
            if any(event & select.POLLOUT for _, event in self._poll.poll(0)):
                # Less than a pipe takes at once or not at all.
                os.write(_STDERR, line[: select.PIPE_BUF])
