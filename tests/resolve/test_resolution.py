"""The course of a lookup, without a clock or a socket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trilb.base.address import Address, Family
from trilb.base.diagnostic import NOWHERE
from trilb.base.ip import Network
from trilb.config.sections import NameserverLine, ResolversSection
from trilb.resolve.choose import choose
from trilb.resolve.families import Families, has_default_route
from trilb.resolve.resolution import Resolution, Step
from trilb.resolve.wire import Kind, Record, Reply, Status

ONE, TWO = Record(Kind.A, b"\1\1\1\1", order=1), Record(Kind.A, b"\2\2\2\2", order=2)
VALID = Reply(Status.VALID, (ONE,))
NX = Reply(Status.NX)


def section(nameservers: int = 1, **said: object) -> ResolversSection:
    """A section, times in whole seconds."""
    made = ResolversSection("ns", NOWHERE, retries=2, timeout_resolve=10.0, timeout_retry=1.0)
    made.nameservers = [
        NameserverLine(f"n{n}", Address(Family.IPV4, "127.0.0.1", 53), False) for n in range(nameservers)
    ]
    made.hold = {**made.hold, "nx": 5.0, "timeout": 5.0, "obsolete": 3.0, "valid": 4.0}
    return made


def kind(made: Resolution) -> Kind:
    """What it asks for now."""
    return made.kind


def test_the_other_kind_is_asked_at_once_and_rounds_are_counted() -> None:
    """AAAA, A; after `timeout retry` once more; then it is over until `timeout resolve`."""
    made = Resolution(section(), "a.test", Kind.AAAA)
    assert made.deadline() < 0
    made.begin(100.0)
    assert (kind(made), made.deadline()) == (Kind.AAAA, 101.0)
    assert made.answered(NX, 100.1) is Step.ASK
    assert kind(made) == Kind.A
    assert made.answered(NX, 100.2) is Step.WAIT
    assert made.expired(101.1) is Step.ASK
    assert kind(made) == Kind.AAAA
    assert made.answered(NX, 101.2) is Step.ASK
    assert made.answered(NX, 101.3) is Step.DONE
    assert (made.status, made.asking, made.deadline()) == (Status.NX, False, 111.3)


def test_silence_is_a_timeout() -> None:
    """The preferred kind, `resolve_retries` times."""
    made = Resolution(section(), "a.test", Kind.A)
    made.begin(0.0)
    assert made.expired(1.0) is Step.ASK
    assert made.kind is Kind.A
    assert made.expired(2.0) is Step.DONE
    assert made.status is Status.TIMEOUT


def test_services_have_no_other_kind() -> None:
    """SRV is asked for as SRV only."""
    made = Resolution(section(), "_a._tcp.test", Kind.SRV)
    made.begin(0.0)
    assert made.answered(NX, 0.1) is Step.WAIT
    assert made.expired(1.0) is Step.ASK
    assert made.answered(NX, 1.1) is Step.DONE


def test_an_error_waits_for_the_other_nameservers() -> None:
    """The first valid answer ends it, errors only once all have answered."""
    made = Resolution(section(2), "a.test", Kind.A)
    made.begin(0.0)
    assert made.answered(NX, 0.1) is Step.WAIT
    assert made.answered(VALID, 0.2) is Step.DONE
    assert made.status is Status.VALID
    made.begin(10.0)
    assert made.answered(NX, 10.1) is Step.WAIT
    assert made.answered(NX, 10.2) is Step.ASK


def test_holds() -> None:
    """An error counts from `hold` after the last valid answer on; a valid answer is fresh for `hold valid`."""
    made = Resolution(section(), "a.test", Kind.SRV)
    made.begin(0.0)
    made.answered(VALID, 0.0)
    assert made.fresh(3.9)
    assert not made.fresh(4.0)
    made.status = Status.NX
    assert made.held(4.9)
    assert not made.held(5.0)
    made.status = Status.OTHER
    assert made.held(29.0)
    assert not Resolution(section(), "a.test", Kind.A).held(0.0)


def test_records_outlive_answers_until_they_are_obsolete() -> None:
    """`hold obsolete` after they were last seen, told at the next valid answer."""
    made = Resolution(section(), "a.test", Kind.A)
    for now, reply in ((0.0, Reply(Status.VALID, (TWO, ONE))), (2.0, VALID), (3.0, VALID)):
        made.begin(now)
        made.answered(reply, now)
        made.forget_obsolete()
        assert made.ordered() == [ONE, TWO]
    made.begin(3.5)
    made.answered(VALID, 3.5)
    made.forget_obsolete()
    assert made.ordered() == [ONE]


REPLIES = st.sampled_from(
    [VALID, NX, *(Reply(status) for status in Status if status not in (Status.NONE, Status.VALID))]
)


@given(st.lists(st.one_of(REPLIES, st.none()), max_size=40), st.sampled_from([*Kind]), st.integers(1, 3))
def test_any_course(events: list[Reply | None], preferred: Kind, nameservers: int) -> None:
    """However answers and silence follow: it ends, within the rounds, and begins with the preferred kind."""
    made = Resolution(section(nameservers), "a.test", preferred)
    now, asked = 0.0, 0
    for event in events:
        if not made.asking:
            now = max(now, made.deadline())
            made.begin(now)
            assert made.kind is preferred
            asked = 1
        before = set(made.records)
        if event is None or made.answers >= nameservers:
            now = made.deadline()
            step = made.expired(now)
        else:
            now += 0.001
            step = made.answered(event, now)
        asked += step is Step.ASK
        assert asked <= 2 * made.section.retries
        assert made.asking is (step is not Step.DONE)
        assert made.deadline() > now or step is Step.WAIT
        if made.status is not Status.VALID:
            assert set(made.records) == before


ADDRESSES = st.lists(st.sampled_from([b"\1\1\1\1", b"\2\2\2\2", b"\3\3\3\3", bytes(16), bytes(15) + b"\1"]), max_size=5)


@given(ADDRESSES, ADDRESSES, st.booleans(), st.booleans(), ADDRESSES)
def test_choice(found: list[bytes], taken: list[bytes], four: bool, duplicates: bool, now: list[bytes]) -> None:
    """One of those that may be had; of the preferred family if there is one; the current one if nothing is better."""
    current = now[0] if now else None
    networks = (Network("2.0.0.0/8"),)
    got = choose(found, current, taken, prefer_ipv4=four, networks=networks, duplicates=duplicates)
    open_to_us = [address for address in found if duplicates or address not in taken]
    if not open_to_us:
        assert got is None
        return
    assert got in open_to_us
    preferred = [address for address in open_to_us if (len(address) == 4) is four]
    assert got in (preferred or open_to_us)
    if four and b"\2\2\2\2" in open_to_us:
        assert got == b"\2\2\2\2"
    elif current in preferred and current not in taken and not (four and b"\2\2\2\2" in open_to_us):
        assert got == current


def test_families() -> None:
    """`dns-accept-family`: only one kind is asked for, whatever is preferred."""
    made = Resolution(section(), "a.test", Kind.AAAA)
    made.families = (Kind.A,)
    made.begin(0.0)
    assert kind(made) == Kind.A
    assert made.answered(NX, 0.1) is Step.WAIT
    assert made.expired(1.0) is Step.ASK
    assert kind(made) == Kind.A
    assert made.answered(VALID, 1.1) is Step.DONE


def test_default_route() -> None:
    """What /proc/net/ipv6_route says of the way out."""
    zero = "0" * 32
    line = f"{zero} 00 {zero} 00 fe80000000000000000000000000000a 00000400 00000001 00000000 00450003    {{}}\n"
    assert has_default_route(line.format("eth0"))
    assert not has_default_route(line.format("lo"))
    assert not has_default_route(line.format("eth0").replace(f"{zero} 00", f"{zero} 40", 1))
    assert not has_default_route("")
    assert not has_default_route("garbage\n")


def test_accepted_families() -> None:
    """By name, or by whether IPv6 leads anywhere."""
    assert Families("ipv4,ipv6").now(0.0) == (Kind.A, Kind.AAAA)
    assert Families("ipv6").now(0.0) == (Kind.AAAA,)
    assert Families("ipv4").now(0.0) == (Kind.A,)
    assert Families("auto").now(0.0)[0] is Kind.A
