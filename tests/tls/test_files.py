"""Certificates, lists of them and revocations as files: what is read, and that every fault names its file."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certs import NOW, Authority, parse, rsa_key
from trilb.base.address import Address, Family
from trilb.base.diagnostic import Place, Refused
from trilb.config.lines import Bind, Tls
from trilb.config.settings import Global
from trilb.tls import certificates
from trilb.tls.certificates import authorities, load, revocations
from trilb.tls.lists import Listed
from trilb.tls.lists import read_list as read_file_of_list
from trilb.tls.store import Store

ROOT = Authority.new()
MIDDLE = Authority.new("Middle", ROOT)
OWN = MIDDLE.issue("Www.Example.com", "www.example.com", "API.example.com", key=rsa_key())
EC = MIDDLE.issue("www.example.com", "www.example.com")
ALL = frozenset(("bundle", "ocsp", "issuer", "key", "sctl"))
PLACE = Place("f.cfg", 7)


def write(folder: Path, **files: bytes) -> None:
    """Files; `__` stands for a dot."""
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def read_list(folder: Path, text: str) -> list[Listed]:
    """The lines of a list."""
    (folder / "my.list").write_text(text)
    return read_file_of_list(str(folder / "my.list"), "").lines


def refusal(path: Path | str, extra: frozenset[str] = ALL) -> str:
    """Why a certificate is not loaded."""
    with pytest.raises(Refused) as caught:
        load(str(path), extra)
    return caught.value.text


# -- one file --------------------------------------------------------------------------------------------------------


def test_a_whole_file(tmp_path: Path) -> None:
    """Certificate, chain and key; names in lower case, each once."""
    write(tmp_path, a__pem=OWN.pem)
    (found,) = load(str(tmp_path / "a.pem"), ALL)
    assert found.leaf == OWN.certificate
    assert found.chain == (MIDDLE.certificate,)
    assert found.names == ("www.example.com", "api.example.com")
    assert found.kind == "rsa"
    assert found.pem() == OWN.chain_pem
    assert not found.warnings


@pytest.mark.parametrize("order", ["kcm", "ckm", "mkc", "cmk", "kmc"])
def test_any_order(order: str) -> None:
    """The certificate is the one that the key fits."""
    parts = {"k": OWN.key_pem, "c": OWN.cert_pem, "m": MIDDLE.cert_pem}
    found = parse("a.pem", b"text\n".join(parts[each] for each in order))
    assert found.leaf == OWN.certificate
    assert found.chain == (MIDDLE.certificate,)


def test_the_key_in_a_file_of_its_own(tmp_path: Path) -> None:
    """FILE.key; with ssl-load-extra-del-ext the same name with .key for .crt."""
    write(tmp_path, a__pem=OWN.chain_pem, a__pem__key=OWN.key_pem, b__crt=OWN.chain_pem, b__key=OWN.key_pem)
    for name in ("a.pem", "b.crt"):
        (found,) = load(str(tmp_path / name), ALL, strip=name == "b.crt")
        assert found.leaf == OWN.certificate
    assert "a.pem'" in refusal(tmp_path / "a.pem", frozenset())


def test_a_key_of_the_old_form(tmp_path: Path) -> None:
    """PKCS 1, with carriage returns, and Ed25519."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    text = (OWN.chain_pem + OWN.key.private_bytes(*form)).replace(b"\n", b"\r\n")
    assert parse("a.pem", text).leaf == OWN.certificate


def test_more_beside_it(tmp_path: Path) -> None:
    """An OCSP answer and the issuer."""
    write(tmp_path, a__pem=OWN.pem, a__pem__ocsp=b"answer", a__pem__issuer=MIDDLE.cert_pem)
    (found,) = load(str(tmp_path / "a.pem"), ALL)
    assert found.ocsp == b"answer"
    assert found.issuer == MIDDLE.certificate
    (found,) = load(str(tmp_path / "a.pem"), frozenset())
    assert (found.ocsp, found.issuer) == (b"", None)


def test_dates() -> None:
    """Expired and future certificates are warned of, by name, and loaded."""
    expired = ROOT.issue("a", start=NOW - timedelta(days=9), end=NOW - timedelta(days=2))
    future = ROOT.issue("a", start=NOW + timedelta(days=2))
    assert re.search(r"'x\.pem' expired on \d{4}-\d\d-\d\d", parse("x.pem", expired.pem).warnings[0])
    assert re.search(r"'y\.pem' is not valid before \d{4}", parse("y.pem", future.pem).warnings[0])


def locked() -> bytes:
    """A key with a passphrase."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return OWN.key.private_bytes(*form, serialization.BestAvailableEncryption(b"secret"))


BROKEN = {
    "empty": (b"", "certificate"),
    "text": (b"hello", "certificate"),
    "key only": (OWN.key_pem, "certificate"),
    "no key": (OWN.chain_pem, "no private key"),
    "another key": (OWN.chain_pem + EC.key_pem, "inconsistent"),
    "a broken certificate": (OWN.pem.replace(b"MII", b"MIX", 1), "broken"),
    "a cut certificate": (OWN.cert_pem[:200] + OWN.key_pem, "certificate"),
    "a broken key": (OWN.chain_pem + OWN.key_pem[:300] + OWN.key_pem[400:], "private key"),
    "half a key": (OWN.chain_pem + OWN.key_pem[:300], "no private key"),
    "a key with a passphrase": (OWN.chain_pem + locked(), "passphrase"),
    "bytes": (bytes(range(256)) * 10, "certificate"),
}


@pytest.mark.parametrize("row", BROKEN)
def test_broken(tmp_path: Path, row: str) -> None:
    """The file is named, and so is what is wrong."""
    text, word = BROKEN[row]
    write(tmp_path, bad__pem=text)
    said = refusal(tmp_path / "bad.pem")
    assert str(tmp_path / "bad.pem") in said
    assert word in said


def test_unreadable(tmp_path: Path) -> None:
    """Missing, a directory, not allowed."""
    assert "nothing.pem': No such file" in refusal(tmp_path / "nothing.pem")
    assert "Is a directory" in refusal(tmp_path)
    write(tmp_path, a__pem=OWN.chain_pem)
    (tmp_path / "a.pem.key").mkdir()
    assert "a.pem.key'" in refusal(tmp_path / "a.pem")
    if os.geteuid():
        write(tmp_path, b__pem=OWN.pem)
        (tmp_path / "b.pem").chmod(0)
        assert "Permission denied" in refusal(tmp_path / "b.pem")


@given(st.binary(max_size=200), st.integers(0, len(OWN.pem)))
def test_any_bytes(raw: bytes, at: int) -> None:
    """Nothing but Refused."""
    for text in (raw, OWN.pem[:at] + raw + OWN.pem[at:], OWN.pem[:at] + raw):
        try:
            parse("a.pem", text)
        except Refused as refused:
            assert "a.pem" in refused.text
        for read in (authorities, revocations):
            try:
                read("a.pem", text)
            except Refused as refused:
                assert "a.pem" in refused.text


def test_a_key_of_an_unusual_kind() -> None:
    """Ed25519 has a kind of its own."""
    key = ed25519.Ed25519PrivateKey.generate()
    issued = ROOT.issue("ed.example", key=key)  # type: ignore[arg-type]
    assert parse("ed.pem", issued.pem).kind not in ("rsa", "ecdsa")


# -- bundles and directories -----------------------------------------------------------------------------------------


def test_a_bundle(tmp_path: Path) -> None:
    """FILE.rsa and FILE.ecdsa where there is no FILE."""
    write(tmp_path, a__pem__rsa=OWN.pem, a__pem__ecdsa=EC.pem)
    found = load(str(tmp_path / "a.pem"), ALL)
    assert [each.kind for each in found] == ["rsa", "ecdsa"]
    assert "No such file" in refusal(tmp_path / "a.pem", frozenset(["key"]))
    write(tmp_path, a__pem__ecdsa=b"broken")
    assert "a.pem.ecdsa" in refusal(tmp_path / "a.pem")
    write(tmp_path, a__pem=OWN.pem)
    assert [each.path for each in load(str(tmp_path / "a.pem"), ALL)] == [str(tmp_path / "a.pem")]


def bind(store: Store, *crt: str, crt_list: tuple[str, ...] = (), **options: object) -> object:
    """A bind line with these files."""
    tls = Tls(crt=crt, crt_list=crt_list, **options)  # type: ignore[arg-type]
    return store.bind(Bind((Address(Family.ANY, "", 443),), PLACE, ssl=True, tls=tls), (b"http/1.1",)).selector


def refused_bind(store: Store, *crt: str, **more: object) -> str:
    """Why a bind line cannot be."""
    with pytest.raises(Refused) as caught:
        bind(store, *crt, **more)  # type: ignore[arg-type]
    return caught.value.text


def store(warnings: list[str] | None = None, **settings: object) -> Store:
    """A store that loads everything."""
    made = Global(tls_extra=ALL, **settings)  # type: ignore[arg-type]
    return Store(made, lambda place, text: (warnings if warnings is not None else []).append(text))


def test_a_directory(tmp_path: Path) -> None:
    """In the order of names; keys, issuers and hidden files are no certificates."""
    write(tmp_path, b__pem=OWN.pem, a__pem=EC.chain_pem, a__pem__key=EC.key_pem, a__pem__issuer=MIDDLE.cert_pem)
    write(tmp_path, a__pem__ocsp=b"x", __hidden=b"x")
    made = store()
    bind(made, str(tmp_path))
    assert [os.path.basename(each.path) for each in made.bindings[0].lines] == ["a.pem", "b.pem"]
    write(tmp_path, c__pem=b"broken")
    assert "c.pem'" in refused_bind(store(), str(tmp_path))


def test_a_bundle_in_a_directory(tmp_path: Path) -> None:
    """Both are there for one name."""
    write(tmp_path, a__pem__rsa=OWN.pem, a__pem__ecdsa=EC.pem)
    made = store()
    bind(made, str(tmp_path))
    uses = made.bindings[0].selector.uses
    assert sorted(use.certificate.kind for use in uses) == ["ecdsa", "rsa"]


def test_an_empty_directory(tmp_path: Path) -> None:
    """It is said that there is nothing."""
    assert "needs a certificate" in refused_bind(store(), str(tmp_path))
    assert "needs a certificate" in refused_bind(store())


def test_a_base(tmp_path: Path) -> None:
    """Relative names begin at crt-base and ca-base."""
    write(tmp_path, a__pem=OWN.pem, ca__pem=ROOT.cert_pem, crl__pem=ROOT.crl())
    made = store(crt_base=str(tmp_path), ca_base=str(tmp_path))
    bind(made, "a.pem", verify="required", ca_file="ca.pem", crl_file="crl.pem")
    assert "other.pem" in refused_bind(made, "other.pem")


def test_warnings_are_given_once(tmp_path: Path) -> None:
    """However many lines use a file."""
    write(tmp_path, a__pem=ROOT.issue("a", end=NOW - timedelta(hours=1)).pem)
    warnings: list[str] = []
    made = store(warnings)
    for _ in range(3):
        bind(made, str(tmp_path / "a.pem"))
    assert len(warnings) == 1
    assert "a.pem' expired" in warnings[0]


# -- authorities and revocations -------------------------------------------------------------------------------------


def test_authorities(tmp_path: Path) -> None:
    """One file or a directory of them; faults name the file."""
    write(tmp_path, ca__pem=ROOT.cert_pem + MIDDLE.cert_pem)
    assert store().trusted(str(tmp_path / "ca.pem")) == [ROOT.certificate, MIDDLE.certificate]
    assert store().trusted("@system-ca") is None
    (tmp_path / "d").mkdir()
    write(tmp_path / "d", a=ROOT.cert_pem, b=MIDDLE.cert_pem)
    assert store().trusted(str(tmp_path / "d")) == [ROOT.certificate, MIDDLE.certificate]
    write(tmp_path, own__pem=OWN.pem, empty__pem=b"", bad__pem=ROOT.crl())
    for name in ("empty.pem", "bad.pem", "nothing.pem"):
        said = refused_bind(store(), str(tmp_path / "own.pem"), verify="required", ca_file=str(tmp_path / name))
        assert name in said
    assert "needs a 'ca-file'" in refused_bind(store(), str(tmp_path / "own.pem"), verify="required")


def test_revocations(tmp_path: Path) -> None:
    """All lists of a file; faults name it."""
    assert len(revocations("crl.pem", ROOT.crl() + MIDDLE.crl(OWN))) == 2
    for text in (b"", ROOT.cert_pem, ROOT.crl().replace(b"MI", b"XX"), b"-----BEGIN X509 CRL-----\nx\n"):
        with pytest.raises(Refused, match=r"crl\.pem"):
            revocations("crl.pem", text)


# -- crt-list --------------------------------------------------------------------------------------------------------


def test_a_list(tmp_path: Path) -> None:
    """Comments, options and filters; line numbers as an editor has them."""
    text = """# first
  a.pem

b.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.3] one.example *.two.example !no.two.example
c.pem []
d.pem\t[verify required ca-file "a b.pem"]\tthree.example
/x/e.pem four.example # five.example
"""
    found = read_list(tmp_path, text)
    assert [(each.path, each.number) for each in found] == [
        ("a.pem", 2), ("b.pem", 4), ("c.pem", 5), ("d.pem", 6), ("/x/e.pem", 7),
    ]  # fmt: skip
    assert found[1].filters == ("one.example", "*.two.example", "!no.two.example")
    assert found[1].tls.alpn == (b"h2", b"http/1.1")
    assert found[1].tls.min_version == "TLSv1.3"
    assert found[2].filters == found[0].filters == ()
    assert found[3].tls.ca_file == "a b.pem"
    assert found[3].filters == ("three.example",)


@pytest.mark.parametrize(("line", "word"), [
    ("a.pem [nonsense]", "nonsense"),
    ("a.pem [ssl-min-ver TLSv9]", "TLSv9"),
    ("a.pem [ca-file]", "ca-file"),
    ("a.pem [verify", "end nowhere"),
    ("a.pem [no-tlsv13]", "no-tlsv13"),
    ('a.pem [ca-file "x]', "quot"),
])  # fmt: skip
def test_a_broken_list(tmp_path: Path, line: str, word: str) -> None:
    """File and line are named."""
    with pytest.raises(Refused) as caught:
        read_list(tmp_path, f"# x\nb.pem\n{line}\n")
    assert "my.list' line 3" in caught.value.text
    assert word in caught.value.text.lower() or word in caught.value.text


def test_an_empty_list(tmp_path: Path) -> None:
    """It is said which."""
    with pytest.raises(Refused, match=r"my\.list"):
        read_list(tmp_path, "# nothing\n\n")
    write(tmp_path, list__txt=f"{tmp_path}/nothing.pem\n".encode())
    assert "nothing.pem" in refused_bind(store(), crt_list=(str(tmp_path / "list.txt"),))
    assert "none.txt" in refused_bind(store(), crt_list=(str(tmp_path / "none.txt"),))


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    """A certificate that does not work leaves the old one in use."""
    write(tmp_path, a__pem=OWN.pem)
    path = str(tmp_path / "a.pem")
    made = store()
    bind(made, path)
    before = made.bindings[0].selector
    assert made.replace(path, parse(path, EC.pem)) == 1
    assert made.bindings[0].selector is not before
    now = made.certificates[path]
    assert now is not None and now.kind == "ecdsa"
    assert certificates.is_part("x.key") and certificates.is_part(".x") and not certificates.is_part("key.pem")
