"""Who serves whom: balance, hash-type, cookie and their exceptions (section 4.2)."""

from __future__ import annotations

from dataclasses import replace

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import seconds, whole
from trilb.config.expressions import NotServed, parse_condition
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import CookieLine, HashType, Proxy
from trilb.config.terms import Spec

HASH_FUNCTIONS = ("sdbm", "djb2", "wt6", "crc32", "none")


@keyword("proxy", "balance", where="DLB")
def balance(line: Line, proxy: Proxy, context: Context) -> None:
    """`balance ALGORITHM [arguments]`."""
    if len(line.words) < 2:
        proxy.balance = Spec("roundrobin", (), line.place)
        return
    name, arguments = line.words[1], list(line.words[2:])
    if "(" in name:
        name, _, inner = name.partition("(")
        arguments = [inner.rstrip(")"), *arguments]
    if name in ("log-hash", "sticky", "hash"):
        raise NotServed(f"balance {name}")
    entry = context.language.algorithms.get(name)
    if entry is None:
        raise Refused(context.language.algorithms.unknown(name), column=line.columns[1])
    parse = entry.facts["parse"]
    assert callable(parse)
    proxy.balance = Spec(name, parse(arguments), line.place)


@keyword("proxy", "hash-type", where="DLB")
def hash_type(line: Line, proxy: Proxy, context: Context) -> None:
    """`hash-type METHOD [FUNCTION [avalanche]]`."""
    words = line.words[1:]
    if not words or words[0] not in ("consistent", "map-based", "avalanche"):
        raise Refused("'hash-type' expects 'map-based' or 'consistent'")
    if words[0] == "avalanche":
        raise Refused("'hash-type avalanche' is gone; write 'hash-type map-based sdbm avalanche'")
    made = HashType(consistent=words[0] == "consistent")
    if len(words) > 1:
        if words[1] not in HASH_FUNCTIONS:
            raise Refused(
                f"unknown hash function '{words[1]}'{nearest(words[1], HASH_FUNCTIONS)}", column=line.columns[2]
            )
        made = replace(made, function=words[1])
    if len(words) > 2:
        if words[2] != "avalanche" or len(words) > 3:
            raise Refused("'hash-type' knows only the modifier 'avalanche'", column=line.columns[3])
        made = replace(made, avalanche=True)
    proxy.hash_type = made


@keyword("proxy", "hash-balance-factor", where="DLB")
def hash_balance_factor(line: Line, proxy: Proxy, context: Context) -> None:
    """`hash-balance-factor PERCENT`: how far above the average a server may go; 0 is off."""
    (value,) = only(line, 1, "hash-balance-factor <percent>")
    factor = whole(value, 0, 2**31 - 1, "'hash-balance-factor'")
    if 0 < factor <= 100:
        raise Refused("'hash-balance-factor' must be 0 (off) or above 100")
    proxy.hash_balance_factor = factor


@keyword("proxy", "hash-preserve-affinity", where="DLB")
def hash_preserve_affinity(line: Line, proxy: Proxy, context: Context) -> None:
    """`hash-preserve-affinity always|maxconn|maxqueue`: whether a saturated server keeps its keys."""
    (value,) = only(line, 1, "hash-preserve-affinity { always | maxconn | maxqueue }")
    if value not in ("always", "maxconn", "maxqueue"):
        raise Refused(f"'hash-preserve-affinity' expects always, maxconn or maxqueue, not '{value}'")
    proxy.hash_preserve_affinity = value


_COOKIE_FLAGS = frozenset(
    ["rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly", "secure", "dynamic"]
)


@keyword("proxy", "cookie", where="DLB")
def cookie(line: Line, proxy: Proxy, context: Context) -> None:
    """`cookie NAME [rewrite|insert|prefix] [...]`: persistence by cookie."""
    words = line.words
    if len(words) < 2:
        raise Refused("'cookie' expects <cookie_name> as argument")
    made = CookieLine(words[1])
    if proxy.cookie is not None:
        # Another line starts anew, except that attributes add up (observed).
        made.attrs = proxy.cookie.attrs
    i = 2
    while i < len(words):
        option, column = words[i], line.columns[i]
        i += 1
        if option in _COOKIE_FLAGS:
            setattr(made, option, True)
            continue
        if option not in ("domain", "maxidle", "maxlife", "attr"):
            known_words = [*_COOKIE_FLAGS, "domain", "maxidle", "maxlife", "attr"]
            raise Refused(f"'cookie' does not know '{option}'{nearest(option, known_words)}", column=column)
        if i >= len(words):
            raise Refused(f"'cookie {option}' expects an argument", column=column)
        value = words[i]
        i += 1
        if option == "domain":
            if "." not in value:
                context.report.warn(line.place, f"domain '{value}' contains no embedded dot; browsers may refuse it")
            made.domains = (*made.domains, value)
        elif option == "attr":
            if any(c == ";" or c < " " or c == "\x7f" for c in value):
                raise Refused("'cookie attr' may not hold control characters or ';'", column=column)
            made.attrs = (*made.attrs, value)
        else:
            amount = seconds(value, "s")
            if amount < 1:
                raise Refused(f"'cookie {option}' must be at least one second", column=column)
            setattr(made, option, int(amount))
    _check_cookie(made)
    proxy.cookie = made


def _check_cookie(made: CookieLine) -> None:
    if made.rewrite + made.insert + made.prefix > 1:
        raise Refused("'cookie' modes 'rewrite', 'insert' and 'prefix' are mutually exclusive")
    if made.rewrite and made.indirect:
        raise Refused("'cookie rewrite' and 'indirect' are incompatible")
    if made.preserve and not (made.insert or made.indirect):
        raise Refused("'cookie preserve' requires at least 'insert' or 'indirect'")


@keyword("proxy", "dynamic-cookie-key", where="DLB")
def dynamic_cookie_key(line: Line, proxy: Proxy, context: Context) -> None:
    """`dynamic-cookie-key TEXT`: the secret of dynamic cookie values."""
    (proxy.dynamic_cookie_key,) = only(line, 1, "dynamic-cookie-key <text>")


@keyword("proxy", "force-persist", "ignore-persist", where="LB")
def persist_rules(line: Line, proxy: Proxy, context: Context) -> None:
    """`force-persist` and `ignore-persist` with a condition."""
    name, words = line.words[0], list(line.words[1:])
    if not words or words[0] not in ("if", "unless"):
        raise Refused(f"'{name}' requires either 'if' or 'unless' followed by a condition")
    when = parse_condition(words, context.scope(proxy, line.place, "request"), lambda acl: acl in proxy.acls)
    (proxy.force_persist if name == "force-persist" else proxy.ignore_persist).append(when)


@keyword("proxy", "persist", where="DLB")
def persist(line: Line, proxy: Proxy, context: Context) -> None:
    """`persist rdp-cookie[(NAME)]`: the server's address is in the RDP cookie."""
    (value,) = only(line, 1, "persist rdp-cookie[(<name>)]")
    if not value.startswith("rdp-cookie"):
        raise Refused("'persist' only supports 'rdp-cookie'")
    raise NotServed("persist rdp-cookie")
