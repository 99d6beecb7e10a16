"""Keywords of `resolvers` sections (configuration.txt, section 5.3.2), and the server options that use them."""

from __future__ import annotations

from pathlib import Path

from trilb.base import ip
from trilb.base.address import Address, Family
from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import seconds, whole
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line, expand_address
from trilb.config.sections import NameserverLine, ResolversSection
from trilb.config.settings import Global

RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = 53
_STREAM = ("tcp@", "tcp4@", "tcp6@", "stream+ip@", "stream+ipv4@", "stream+ipv6@")
_NOT_IP = (Family.UNIX, Family.ABSTRACT, Family.FD)
_OPTIONS = ("allow-dup-ip", "ignore-weight", "prevent-dup-ip")


_FAMILIES = ("auto", "ipv4", "ipv6")


@keyword("global", "dns-accept-family")
def dns_accept_family(line: Line, section: Global, context: Context) -> None:
    """`dns-accept-family ipv4|ipv6|auto[,...]`: in which families names are looked up at run time; both without it."""
    (text,) = only(line, 1, "dns-accept-family ipv4|ipv6|auto[,...]")
    words = text.split(",")
    for word in words:
        if word not in _FAMILIES:
            raise Refused(
                f"'dns-accept-family' expects ipv4, ipv6 or auto, not '{word}'{nearest(word, _FAMILIES)}",
                column=line.columns[1],
            )
    section.dns_families = "auto" if "auto" in words else ",".join(sorted(set(words)))


@keyword("resolvers", "nameserver")
def nameserver(line: Line, section: ResolversSection, context: Context) -> None:
    """`nameserver NAME ADDRESS:PORT`: whom to ask, over UDP, or over TCP behind `tcp@`."""
    if len(line.words) < 3:
        raise Refused("'nameserver' expects <name> and <addr>[:<port>] as arguments")
    name = line.words[1]
    for other in section.nameservers:
        if other.name == name:
            raise Refused(f"nameserver '{name}' has same name as another nameserver (declared at {other.place})")
    text = expand_address(line.words[2], context.env)
    found = parse_address(text)
    if len(found) > 1:
        raise Refused(f"'nameserver {name}' : port range not permitted here in '{text}'", column=line.columns[2])
    address = found[0]
    if address.family in _NOT_IP:
        raise Refused(f"'nameserver {name}' : expects an IP address, not '{text}'", column=line.columns[2])
    if not address.port or address.offset:
        raise Refused(f"'nameserver {name}' : missing port specification in '{text}'", column=line.columns[2])
    if len(line.words) > 3:
        # Parameters of `server` that a nameserver over TCP may have: TLS to it is not there, the rest would change
        # nothing that anybody sees.
        context.unserved("nameserver " + line.words[3], line.at(3))
    section.nameservers.append(NameserverLine(name, address, text.startswith(_STREAM), line.place))


@keyword("resolvers", "parse-resolv-conf")
def parse_resolv_conf(line: Line, section: ResolversSection, context: Context) -> None:
    """`parse-resolv-conf`: the nameservers of /etc/resolv.conf, named by their addresses."""
    try:
        text = RESOLV_CONF.read_text("latin-1")
    except OSError as error:
        raise Refused(f"'parse-resolv-conf' : cannot read {RESOLV_CONF}: {error.strerror}") from None
    for added in system_nameservers(text):
        if all(added.name != other.name for other in section.nameservers):
            section.nameservers.append(added)


def system_nameservers(text: str) -> list[NameserverLine]:
    """The `nameserver` lines of a resolv.conf; what is no address is passed over."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and ip.is_literal(words[1]):
            family = Family.IPV6 if ":" in words[1] else Family.IPV4
            found.append(NameserverLine(words[1], Address(family, words[1], _PORT), stream=False))
    return found


@keyword("resolvers", "accepted_payload_size")
def accepted_payload_size(line: Line, section: ResolversSection, context: Context) -> None:
    """`accepted_payload_size BYTES`: the longest answer, which nameservers are told as well."""
    (text,) = only(line, 1, "accepted_payload_size <nb>")
    section.payload = max(512, whole(text, 12, 65535, "'accepted_payload_size'"))


@keyword("resolvers", "resolve_retries")
def resolve_retries(line: Line, section: ResolversSection, context: Context) -> None:
    """`resolve_retries NUMBER`: how many rounds of questions before giving up."""
    (text,) = only(line, 1, "resolve_retries <nb>")
    section.retries = whole(text, 1, 1 << 16, "'resolve_retries'")


@keyword("resolvers", "hold")
def hold(line: Line, section: ResolversSection, context: Context) -> None:
    """`hold nx|refused|timeout|other|valid|obsolete TIME`: how long an address outlives the answers that gave it."""
    if len(line.words) < 3:
        raise Refused(
            f"'hold' expects an <event> and a <time> as arguments; <event> is one of {', '.join(section.hold)}"
        )
    event, text = only(line, 2, "hold <event> <time>")
    if event not in section.hold:
        raise Refused(
            f"'hold' unknown <event>: '{event}'{nearest(event, section.hold)}; it is one of {', '.join(section.hold)}",
            column=line.columns[1],
        )
    section.hold[event] = seconds(text)


@keyword("resolvers", "timeout")
def timeout(line: Line, section: ResolversSection, context: Context) -> None:
    """`timeout resolve|retry TIME`: between two resolutions of a name, between two questions of one."""
    if len(line.words) < 2 or line.words[1] not in ("retry", "resolve"):
        got = f" got '{line.words[1]}'" if len(line.words) > 1 else ""
        raise Refused(f"'timeout' expects 'retry' or 'resolve' and <time> as arguments{got}")
    event, text = only(line, 2, "timeout <event> <time>")
    value = seconds(text)
    if not value:
        raise Refused(f"'timeout {event}' must be above zero", column=line.columns[2])
    if event == "resolve":
        section.timeout_resolve = value
    else:
        section.timeout_retry = value


def prefers_ipv4(text: str) -> bool:
    """The argument of `resolve-prefer`. Raises Refused."""
    if text not in ("ipv4", "ipv6"):
        raise Refused(f"expects either ipv4 or ipv6 as argument, not '{text}'")
    return text == "ipv4"


def networks(text: str) -> tuple[ip.Network, ...]:
    """The argument of `resolve-net`. Raises Refused."""
    return tuple(ip.Network(word) for word in text.split(",") if word)


def options(text: str) -> frozenset[str]:
    """The argument of `resolve-opts`, of two that contradict each other the last. Raises Refused."""
    found: set[str] = set()
    for word in text.split(","):
        if word and word not in _OPTIONS:
            raise Refused(f"unknown option '{word}'{nearest(word, _OPTIONS)}; supported are {', '.join(_OPTIONS)}")
        if word == "prevent-dup-ip":
            found.discard("allow-dup-ip")
        elif word:
            found.add(word)
    return frozenset(found)


def initial(text: str) -> str:
    """The argument of `init-addr`: last, libc, none and at most one address, in any order. Raises Refused."""
    fixed = ""
    for word in text.split(","):
        if word in ("last", "libc", "none", ""):
            continue
        if not ip.is_literal(word):
            raise Refused(f"unknown method '{word}'; supported are last, libc, none and one IP address")
        if fixed:
            raise Refused(f"initial address already specified, cannot add '{word}'")
        fixed = word
    return text
