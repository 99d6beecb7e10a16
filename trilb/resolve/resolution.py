"""One name being looked up again and again: when to ask, when to give up, which records still count. No I/O.

    begin      ask for the preferred kind of address
    answered   by all nameservers with errors: ask for the other kind at once; after that, wait for the next round
    expired    `timeout retry` after a question: the next round, or the end when `resolve_retries` rounds are over
    the end    VALID or the last error; requesters hear of it; `timeout resolve` later it begins again

Records are remembered: one that is missing from the last answer counts until `hold obsolete` is over.
(configuration.txt, section 5.3.2.)
"""

from __future__ import annotations

from enum import Enum, auto

from trilb.config.sections import ResolversSection
from trilb.resolve.wire import Kind, Record, Reply, Status

_HOLDS = {Status.NX: "nx", Status.REFUSED: "refused", Status.TIMEOUT: "timeout"}
_OTHER_KIND = {Kind.A: Kind.AAAA, Kind.AAAA: Kind.A}
_LONG_AGO = -1e9
"""Before the clock began: no valid answer yet, so no hold protects anything."""


class Step(Enum):
    """What a resolution wants done."""

    WAIT = auto()
    ASK = auto()
    DONE = auto()


class Resolution:
    """A name, its kind, how far the current lookup is, and what the last ones brought."""

    __slots__ = (
        "_first",
        "_rounds",
        "answers",
        "asked_at",
        "asking",
        "families",
        "finished",
        "kind",
        "last_valid",
        "name",
        "preferred",
        "records",
        "running",
        "section",
        "sent",
        "status",
    )

    def __init__(self, section: ResolversSection, name: str, preferred: Kind) -> None:
        self.section = section
        self.name = name
        self.preferred = preferred
        self.families: tuple[Kind, ...] = (Kind.A, Kind.AAAA)
        """What may be asked for, besides SRV records."""
        self._first = preferred
        self.kind = preferred
        """What is being asked for now."""
        self.status = Status.NONE
        self.asking = False
        self.asked_at = 0.0
        self.finished: float | None = None
        """When the last lookup ended; None before the first."""
        self.last_valid = _LONG_AGO
        self.sent = 0
        """How many nameservers the current question went to; who asks corrects it."""
        self.answers = 0
        self._rounds = 0
        self.records: dict[Record, float] = {}
        """When each was last seen."""

    def begin(self, now: float) -> None:
        """A lookup starts; the caller asks."""
        self.asking = True
        other = _OTHER_KIND.get(self.preferred)
        self._first = self.preferred if other is None or self.preferred in self.families else other
        self.kind = self._first
        self._rounds = self.section.retries - 1
        self._asked(now)

    def _asked(self, now: float) -> None:
        self.asked_at, self.answers, self.sent = now, 0, len(self.section.nameservers)

    def deadline(self) -> float:
        """When to call `expired`, or to begin again."""
        if self.asking:
            return self.asked_at + self.section.timeout_retry
        return self.finished + self.section.timeout_resolve if self.finished is not None else _LONG_AGO

    def answered(self, reply: Reply, now: float) -> Step:
        """A nameserver answered the question that is being asked."""
        self.answers += 1
        if reply.status is Status.VALID:
            self.status = Status.VALID
            self.last_valid = now
            for record in reply.records:
                # Equal ones may differ in weight and address: the new one replaces the key as well.
                self.records.pop(record, None)
                self.records[record] = now
            self._end(now)
            return Step.DONE
        self.status = reply.status
        if self.answers < self.sent:
            return Step.WAIT
        if self._other_kind(now):
            return Step.ASK
        if not self._rounds:
            self._end(now)
            return Step.DONE
        return Step.WAIT

    def expired(self, now: float) -> Step:
        """`timeout retry` is over and no valid answer came."""
        if not self._rounds:
            if not self.answers:
                self.status = Status.TIMEOUT
            self._end(now)
            return Step.DONE
        if self.answers and self._other_kind(now):
            return Step.ASK
        self._rounds -= 1
        self.kind = self._first
        self._asked(now)
        return Step.ASK

    def _other_kind(self, now: float) -> bool:
        """From A to AAAA or back, once a round."""
        other = _OTHER_KIND.get(self.kind)
        if self.kind is not self._first or other not in self.families:
            return False
        self.kind = other
        self._asked(now)
        return True

    def _end(self, now: float) -> None:
        self.asking = False
        self.finished = now

    def held(self, now: float) -> bool:
        """Whether the error that the last lookup ended with is ignored still."""
        return now < self.last_valid + self.section.hold[_HOLDS.get(self.status, "other")]

    def fresh(self, now: float) -> bool:
        """Whether the last answer is good enough for a rule (`hold valid`)."""
        return self.status is Status.VALID and now < self.fresh_until()

    def fresh_until(self) -> float:
        """When it is not any more."""
        return self.last_valid + self.section.hold["valid"]

    def ordered(self) -> list[Record]:
        """The records as they are given to servers."""
        return sorted(self.records, key=lambda record: record.order)

    def obsolete(self, record: Record) -> bool:
        """Whether a record had been missing for too long when the last valid answer came."""
        return self.records[record] + self.section.hold["obsolete"] < self.last_valid

    def forget_obsolete(self) -> None:
        """Let go of records that had been missing for too long."""
        for record in [record for record in self.records if self.obsolete(record)]:
            del self.records[record]
