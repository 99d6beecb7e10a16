"""Stick tables that outlive their process and its peers (`stick-table ... durable FILE`, trilb's own).

FILE is a snapshot; FILE.journal.N has what changed since, for generation N. Changes are written twice a second. When
the journal has grown as large as the snapshot a new one is begun, a new snapshot is written beside the old and renamed
over it, and only then the old journal goes. So what is on disk is whole at every moment, up to half a second ago.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, Final

import trio

from trilb.base.diagnostic import Refused
from trilb.tables import journal
from trilb.tables.shared import SharedTable

EVERY: Final = 0.4
"""Seconds between writes; with the write itself less than one."""
_ROWS: Final = 500
_SMALL: Final = 1 << 20
"""Bytes of a journal below which no new snapshot is made."""

Say = Callable[[str, str], None]


def _create(path: str) -> BinaryIO:
    return open(path, "wb")


class Durable:
    """One table's files. `say` takes a text and a level."""

    def __init__(self, shared: SharedTable, path: str, say: Say) -> None:
        self.shared = shared
        self.path = path
        self.say = say
        self.generation = 0
        self.file: BinaryIO | None = None
        self.written = 0
        self.snapshot = 0
        self.failing = False

    # -- reading -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Whether the files can be written. Raises Refused."""
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise Refused(f"'durable' : cannot write to '{folder}', where '{self.path}' is to be")

    def number(self) -> None:
        """Begin behind whatever generation is on disk."""
        numbers = [self._number(path) for path in self._files()[1:]]
        with suppress(OSError), open(self.path, "rb") as file:
            found = journal.read(file.read(65536)).header
            numbers.append(found.generation if found is not None else 0)
        self.generation = max([0, *numbers])

    def load(self) -> int:
        """Merge what is on disk; the entries that were taken. What is damaged is told and left out."""
        taken = 0
        for path in self._files():
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError as error:
                if path != self.path:
                    self.say(f"'{path}' cannot be read: {error.strerror}", "warning")
                continue
            contents = journal.read(data)
            if contents.damage:
                lost = len(data) - contents.good
                self.say(f"'{path}': {contents.damage}; its last {lost} bytes are not used", "warning")
            found = contents.header
            if found is None:
                continue
            self.generation = max(self.generation, found.generation)
            mine = self.shared.description
            different = [name for name, value in mine.items() if found.description.get(name) != value]
            if different:
                names = ", ".join(f"{n} was '{found.description.get(n)}' and is '{mine[n]}'" for n in different)
                self.say(f"'{path}' is of another table ({names}) and is not used", "warning")
                continue
            for wall, rows in contents.batches:
                try:
                    taken += self.shared.merge(rows, age=max(0.0, time.time() - wall))
                except ValueError as error:
                    self.say(f"'{path}': {error}; the rest of it is not used", "warning")
                    break
        return taken

    def _files(self) -> list[str]:
        """The snapshot, then journals in their order; a journal older than the snapshot only repeats it."""
        journals = [(self._number(path), path) for path in glob.glob(glob.escape(self.path) + ".journal.*")]
        return [self.path, *(path for number, path in sorted(journals) if number >= 0)]

    @staticmethod
    def _number(path: str) -> int:
        text = path.rpartition(".")[2]
        return int(text) if text.isdigit() else -1

    # -- writing -----------------------------------------------------------------------------------------------------

    async def run(self, stopping: trio.Event) -> None:
        """Write until cancelled, or `stopping`; what changed last is written before it ends."""
        try:
            await self._renew()
            while not stopping.is_set():
                with trio.move_on_after(EVERY):
                    await stopping.wait()
                await self._write()
                if self.written > max(_SMALL, self.snapshot):
                    await self._renew()
        finally:
            self.close()

    def close(self) -> None:
        """Write what is left, and end."""
        if self.file is not None:
            rows = self.shared.take()
            try:
                for data in self._batches(rows):
                    self.file.write(data)
                self.file.flush()
                os.fsync(self.file.fileno())
                self.file.close()
            except OSError as error:
                self._failed(error)
            self.file = None

    def _batches(self, rows: list[int]) -> Iterator[bytes]:
        for at in range(0, len(rows), _ROWS):
            yield journal.batch(time.time(), self.shared.export(rows[at : at + _ROWS], True))

    async def _write(self) -> None:
        """Append what changed."""
        rows = self.shared.take()
        if not rows or self.file is None:
            return
        pieces = []
        for data in self._batches(rows):
            pieces.append(data)
            await trio.lowlevel.checkpoint()
        data = b"".join(pieces)
        self.written += len(data)
        await self._into(self.file, data)

    async def _into(self, file: BinaryIO, data: bytes) -> None:
        def write() -> None:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())

        try:
            await trio.to_thread.run_sync(write)
        except OSError as error:
            self._failed(error)
        else:
            self.failing = False

    def _failed(self, error: OSError) -> None:
        if self.failing:
            return
        self.failing = True
        self.say(f"'{self.path}' cannot be written: {error.strerror}; entries are kept in memory only", "alert")

    async def _renew(self) -> None:
        """A new journal, a new snapshot, and only then away with the old ones."""
        before = self._files()[1:]
        generation = self.generation = self.generation + 1
        head = journal.header(self.shared.table.name, self.shared.description, generation)
        path = f"{self.path}.journal.{generation}"
        try:
            following = await trio.to_thread.run_sync(_create, path)
        except OSError as error:
            self._failed(error)
            return
        await self._write()
        last, self.file, self.written = self.file, following, 0
        await self._into(following, head)
        if last is not None:
            last.close()
        temporary = f"{self.path}.{os.getpid()}.tmp"
        try:
            with await trio.to_thread.run_sync(_create, temporary) as file:
                size = await self._dump(file, head)
            os.replace(temporary, self.path)
        except OSError as error:
            self._failed(error)
            return
        self.snapshot = size
        for old in before:
            if self._number(old) < generation:
                with suppress(OSError):
                    os.unlink(old)

    async def _dump(self, file: BinaryIO, head: bytes) -> int:
        """Every row into a file, a slice at a time."""
        await self._into(file, head)
        size = len(head)
        rows: list[int] = []
        for number in range(self.shared.buckets):
            rows += self.shared.bucket(number)
            if len(rows) >= _ROWS or number == self.shared.buckets - 1:
                data = b"".join(self._batches(rows))
                rows = []
                size += len(data)
                file.write(data)
                await trio.lowlevel.checkpoint()
        file.flush()
        await trio.to_thread.run_sync(os.fsync, file.fileno())
        return size
