"""Match methods of ACLs and maps (configuration.txt, section 7.1): a method is a factory of indexes.

Facts: `takes` is the type a sample is cast to first; `patterns=False` says that none are looked at; `hidden` methods
belong to fetches and are no names for `-m`.
"""

from __future__ import annotations

from trilb.samples.indexes import Ends, Exact, Expressions, Index, Nothing, Numbers, Substrings, Words
from trilb.samples.networks import Networks
from trilb.samples.parsing import Lookup, hexadecimal, integer_range, version_range
from trilb.samples.types import matcher


@matcher("found", takes="", patterns=False, source="7.1")
def found(fold: bool, lookup: Lookup) -> Index:
    """True whenever there is a sample."""
    return Nothing()


@matcher("bool", takes="bool", patterns=False, source="7.1.1")
def boolean(fold: bool, lookup: Lookup) -> Index:
    """True for a true or non-zero sample."""
    return Nothing()


@matcher("int", takes="sint", source="7.1.2")
def integer(fold: bool, lookup: Lookup) -> Index:
    """Integers, ranges `low:high`, and operators eq, ge, gt, le, lt."""
    return Numbers(integer_range)


@matcher("version", takes="sint", hidden=True, source="7.1.2")
def version(fold: bool, lookup: Lookup) -> Index:
    """The same of versions such as 3.1."""
    return Numbers(version_range)


@matcher("len", takes="str", source="7.1.2")
def length(fold: bool, lookup: Lookup) -> Index:
    """The length of the sample, matched as an integer."""
    return Numbers(integer_range, len)


@matcher("ip", takes="addr", source="7.1.6")
def address(fold: bool, lookup: Lookup) -> Index:
    """IP addresses and networks."""
    return Networks(lookup)


def _lower(text: bytes) -> bytes:
    return text.lower()


def _same(text: bytes) -> bytes:
    return text


@matcher("str", takes="str", source="7.1.3")
def exact(fold: bool, lookup: Lookup) -> Index:
    """Exactly one of the strings."""
    return Exact(_lower if fold else _same, fold)


@matcher("meth", takes="meth", hidden=True, source="7.3.6")
def http_method(fold: bool, lookup: Lookup) -> Index:
    """One of the methods, exactly, also under `-i`."""
    return Exact(_same, False)


@matcher("bin", takes="bin", source="7.1.5")
def binary(fold: bool, lookup: Lookup) -> Index:
    """Exactly one of the byte strings, written in hexadecimal."""
    return Exact(hexadecimal, False)


@matcher("beg", takes="str", source="7.1.3")
def prefix(fold: bool, lookup: Lookup) -> Index:
    """Begins with one of the strings."""
    return Ends(suffix=False, fold=fold)


@matcher("end", takes="str", source="7.1.3")
def suffix(fold: bool, lookup: Lookup) -> Index:
    """Ends with one of the strings."""
    return Ends(suffix=True, fold=fold)


@matcher("sub", takes="str", source="7.1.3")
def substring(fold: bool, lookup: Lookup) -> Index:
    """Contains one of the strings."""
    return Substrings(fold)


@matcher("dir", takes="str", source="7.1.3")
def directory(fold: bool, lookup: Lookup) -> Index:
    """One or more whole path elements, between slashes or question marks."""
    return Words(b"/?", fold)


@matcher("dom", takes="str", source="7.1.3")
def domain(fold: bool, lookup: Lookup) -> Index:
    """One or more whole labels of a domain name, between dots, colons, slashes or question marks."""
    return Words(b"/?.:", fold)


@matcher("reg", takes="str", source="7.1.4")
def regex(fold: bool, lookup: Lookup) -> Index:
    """One of the regular expressions, found anywhere."""
    return Expressions(fold)


@matcher("regm", takes="str", hidden=True, source="7.3.1")
def regex_map(fold: bool, lookup: Lookup) -> Index:
    """The same for `map_regm`, which needs the groups as well."""
    return Expressions(fold)
