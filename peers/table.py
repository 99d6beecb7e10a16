"""What the protocol asks of a table. What a batch carries is idempotent and commutative: sending twice is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Table(Protocol):
    """A replicated table. Rows are opaque numbers that stay valid until the table is asked again."""

    @property
    def name(self) -> str:
        """How every replica calls it."""

    @property
    def buckets(self) -> int:
        """Over how many buckets keys are spread, the same way everywhere."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """What replicas must agree on, in words."""

    def __len__(self) -> int:
        """Live entries."""

    def take(self) -> list[int]:
        """Rows that changed here since the last call, each once; deletions too."""

    def export(self, rows: Sequence[int], whole: bool) -> Any:
        """The state of rows as a batch msgpack can pack; `whole` with what other replicas contributed."""

    def merge(self, batch: Any) -> int:
        """Take a batch over; the rows taken. Raises ValueError for one that makes no sense."""

    def bucket(self, number: int) -> list[int]:
        """The rows of a bucket, deleted ones too."""

    def digest(self, number: int, horizon: int) -> int:
        """64 bits that are equal where a bucket's rows are, as far as they are not younger than `horizon`."""

    def horizon(self) -> int:
        """A version a few seconds back; younger changes are still on their way."""

    def select(self, rows: Sequence[int], shard: int) -> list[int]:
        """The rows that belong to one part of the table."""
