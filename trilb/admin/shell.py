"""What is said on the runtime socket, without a socket: bytes in, pieces of answers out (management.txt, 9.3).

Rules, as HAProxy 2.6 has them:
- A line ends in a line feed; what is not ended when the client stops sending was never said.
- Several commands stand on a line, separated by `;`. Each is answered and its answer followed by an empty line, then
  by the prompt where there is one.
- In the mode that ends after its line, every line that has come by then is answered.
- A line that ends in `<<` or `<<END` has a payload for its last command: the lines up to an empty one, or up to END.
- What is too long ends the connection; nothing is kept of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trilb.admin.caller import Caller, Mode, Said
from trilb.admin.words import payload_end, split_commands

GETSOCKS = "_getsocks"
"""The command that is answered with the listening sockets."""
LONGEST_PAYLOAD = 131072
"""Bytes of what may follow a command after `<<` (management.txt, 9.3)."""


class Pause(str):
    """An empty piece of an answer: let that many seconds pass before the next one is asked for."""

    __slots__ = ("seconds",)

    seconds: float


def pause(seconds: float) -> Pause:
    """A pause of that length."""
    made = Pause()
    made.seconds = seconds
    return made


class Deed:
    """Instead of an answer: something to do for the client, which is not followed by an empty line."""

    __slots__ = ()


class Handover(Deed):
    """Give him the listening sockets and end."""

    __slots__ = ()


Piece = str | Deed
Answer = str | Iterator[str]
"""What a command says; one with much to say gives it in pieces, made while the socket takes them."""
Run = Callable[[Caller, str, str], Answer | Deed | None]
"""Runs a command: who asks, its text, its payload. None is no answer at all, not even an empty line."""


class Shell:
    """One client's side of the conversation. `receive` bytes, then send what `answers` gives, then receive again."""

    def __init__(self, run: Run, caller: Caller, *, longest: int, prompt: Callable[[], str]) -> None:
        self.run = run
        self.caller = caller
        self.prompt = prompt
        """What stands in front of the next line."""
        self.lasting = False
        """Whether the mode without a prompt goes on behind its line (master socket)."""
        self.whole: Callable[[str], Deed | None] = lambda line: None
        """What is to be done with a line that is not to be taken apart (`@@`)."""
        self.longest = longest
        """Bytes of a line, its line feed counted; one of that length is too long."""
        self._buffer = bytearray()
        self._searched = 0
        self._commands: list[str] = []
        self._end: str | None = None
        self._payload: list[str] = []
        self._size = 0

    def receive(self, data: bytes) -> None:
        """Take what the client sent."""
        self._buffer += data

    def _line(self) -> str | None:
        """The next whole line; None while there is none, or when there will be none because it is too long."""
        end = self._buffer.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._buffer)) + 1 >= self.longest:
            self.caller.quitting = True
            return None
        if end < 0:
            self._searched = len(self._buffer)
            return None
        # What comes after a NUL was never seen by the commands of HAProxy either.
        line = bytes(self._buffer[:end]).partition(b"\0")[0].decode("latin-1").removesuffix("\r")
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def answers(self) -> Iterator[Piece]:
        """Pieces to send, made as they are asked for; at the end of them the caller may be `quitting`."""
        caller, answered = self.caller, False
        while not caller.quitting and (line := self._line()) is not None:
            if self._end is None:
                yield from self._said(line)
            else:
                yield from self._more(line, self._end)
            answered = True
        if answered and caller.mode is Mode.ONCE and not self.lasting and self._end is None and not self._buffer:
            caller.quitting = True

    def _said(self, line: str) -> Iterator[Piece]:
        deed = self.whole(line)
        if deed is not None:
            yield deed
            return
        text, self._end = payload_end(line.strip())
        self._commands = split_commands(text)
        if self._end is None:
            yield from self._execute("")
            return
        self._payload, self._size = [], 0
        if self.caller.mode is Mode.PROMPT:
            yield "+ "

    def _more(self, line: str, end: str) -> Iterator[Piece]:
        """A line of the payload, or the one that ends it."""
        if line == end:
            self._end = None
            yield from self._execute("\n".join(self._payload))
            return
        self._size += len(line) + 1
        if self._size > LONGEST_PAYLOAD:
            self.caller.quitting = True
            yield f"The payload is too long: {LONGEST_PAYLOAD} bytes are the most.\n\n"
            return
        self._payload.append(line)
        if self.caller.mode is Mode.PROMPT:
            yield "+ "

    def _execute(self, payload: str) -> Iterator[Piece]:
        """The answers of all commands of a line; the payload is the last one's."""
        caller = self.caller
        last = len(self._commands) - 1
        for at, text in enumerate(self._commands):
            text = text.strip()
            if caller.exposes and text == GETSOCKS:
                caller.quitting = True
                yield Handover()
                return
            answer = self.run(caller, text, payload if at == last else "")
            if caller.quitting:
                return
            if isinstance(answer, Deed):
                yield answer
            elif answer is not None:
                for piece in (answer,) if isinstance(answer, str) else answer:
                    yield piece.written(caller) if isinstance(piece, Said) else piece
                yield "\n"
            if caller.mode is Mode.PROMPT:
                yield self.prompt()
        self._payload, self._commands = [], []


def prompt_of(caller: Caller, name: str, uptime: float) -> str:
    """A prompt, with the time where it is wanted."""
    return f"[{clock(uptime)}] {name}> ".replace("] >", "]>") if caller.timed else f"{name}> "


def clock(seconds: float) -> str:
    """A duration as prompts write it, `d:hh:mm:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}:{hours:02d}:{minutes:02d}:{rest:02d}"
