"""The store of certificates, and the commands that change it, without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from OpenSSL import SSL

from tests.support import pem
from trilb.admin import server as _server  # noqa: F401 (its import enters the commands)
from trilb.admin.commands import View, execute
from trilb.base.address import Address, Family
from trilb.base.diagnostic import Place, Refused
from trilb.config.lines import Bind, ServerLine, Tls
from trilb.config.sections import CertificateFiles
from trilb.config.settings import Global
from trilb.tls.store import Store

HERE = Place("lb.cfg", 7)
Ask = Callable[..., str]


class World:
    """A store with a few files, and the socket that changes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = Global()
        self.store = Store(self.settings)
        self.bindings: dict[int, Any] = {}
        self.proxies: list[Any] = []
        self.view = cast(
            View,
            SimpleNamespace(
                tls=self.store,
                bindings=self.bindings,
                config=SimpleNamespace(proxies=self.proxies),
                frontends={},
            ),
        )

    def write(self, name: str, text: str) -> str:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return str(file)

    def bind(self, name: str = "fe", **tls: Any) -> Any:
        line = Bind((), HERE, ssl=True, tls=Tls(**tls))
        made = self.store.bind(line, ())
        self.bindings[id(line)] = made
        self.proxies.append(SimpleNamespace(name=name, binds=[line]))
        self.view.frontends[name] = cast(Any, None)
        return made

    def server(self, **tls: Any) -> Any:
        return self.store.server(
            ServerLine("s1", Address(Family.IPV4, "127.0.0.1", 443), HERE, ssl=True, tls=Tls(**tls))
        )

    def ask(self, text: str, payload: str = "", level: str = "admin") -> str:
        answer = execute(self.view, level, text, payload)
        return answer if isinstance(answer, str) else "".join(answer)

    def swap(self, path: str, text: str) -> str:
        self.ask(f"set ssl cert {path}", text)
        return self.ask(f"commit ssl cert {path}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def shown(context: SSL.Context | None) -> str:
    """The fingerprint of the certificate that a context shows."""
    assert context is not None
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    server = SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(8):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    found = client.get_peer_certificate(as_cryptography=True)
    assert found is not None
    return found.fingerprint(hashes.SHA1()).hex().upper()


# -- certificates --------------------------------------------------------------------------------------------------


def test_commit_puts_in_force_what_set_prepared(world: World) -> None:
    old, new = pem.leaf("a.example"), pem.leaf("b.example", "rsa")
    path = world.write("a.pem", old.pem)
    binding = world.bind(crt=(path,))
    assert world.ask(f"set ssl cert {path}", new.pem) == f"Transaction created for certificate {path}!\n"
    assert shown(binding.selector.choose(None)) == old.sha1
    assert world.ask("show ssl cert") == f"# transaction\n*{path}\n# filename\n{path}\n"
    assert f"SHA1 FingerPrint: {old.sha1}\n" in world.ask(f"show ssl cert {path}")
    assert f"SHA1 FingerPrint: {new.sha1}\n" in world.ask(f"show ssl cert *{path}")
    assert world.ask(f"commit ssl cert {path}") == f"Committing {path}.\nSuccess!\n"
    assert shown(binding.selector.choose(None)) == new.sha1
    assert shown(binding.selector.choose(b"b.example")) == new.sha1
    assert f"SHA1 FingerPrint: {new.sha1}\n" in world.ask(f"show ssl cert {path}")
    assert world.ask("show ssl cert") == f"# filename\n{path}\n"
    assert Path(path).read_text() == old.pem


def test_contexts_of_other_certificates_stay(world: World) -> None:
    one, two = world.write("1.pem", pem.leaf("a.example").pem), world.write("2.pem", pem.leaf("b.example").pem)
    binding = world.bind(crt=(one, two))
    before = binding.selector.choose(b"b.example")
    world.swap(one, pem.leaf("c.example").pem)
    assert binding.selector.choose(b"b.example") is before
    assert shown(binding.selector.choose(b"c.example")) == pem.leaf("c.example").sha1
    assert shown(binding.selector.choose(b"a.example")) == pem.leaf("c.example").sha1  # the default


def test_abort_forgets(world: World) -> None:
    path = world.write("a.pem", pem.leaf("a.example").pem)
    world.bind(crt=(path,))
    world.ask(f"set ssl cert {path}", pem.leaf("b.example").pem)
    assert world.ask(f"abort ssl cert {path}") == f"Transaction aborted for certificate '{path}'!\n"
    assert world.ask(f"abort ssl cert {path}") == "No ongoing transaction!\n"
    assert world.ask(f"commit ssl cert {path}") == f"No ongoing transaction! !\nCan't commit {path}!\n"
    assert pem.leaf("a.example").sha1 in world.ask(f"show ssl cert {path}")


def test_one_change_at_a_time(world: World) -> None:
    one, two = world.write("1.pem", pem.leaf("a.example").pem), world.write("2.pem", pem.leaf("b.example").pem)
    world.bind(crt=(one, two))
    world.ask(f"set ssl cert {one}", pem.leaf("c.example").pem)
    other = f"The ongoing transaction is about '{one}' but you are trying to "
    assert world.ask(f"set ssl cert {two}", pem.leaf("c.example").pem) == (f"{other}set '{two}'\nCan't update {two}!\n")
    assert world.ask(f"commit ssl cert {two}") == f"{other}set '{two}'\nCan't commit {two}!\n"
    assert world.ask(f"abort ssl cert {two}") == f"{other}abort a transaction for '{two}'\n"
    assert world.ask(f"del ssl cert {one}") == (
        f"Can't remove the certificate: ongoing transaction for the certificate '{one}'\n"
    )


@pytest.mark.parametrize(
    ("ending", "payload", "said"),
    [
        ("", "garbage", "unable to load certificate from file '{path}'.\n"),
        ("", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "unable to load certificate from file"),
        (".key", "garbage", "unable to load private key from file '{path}'.\n"),
        (".issuer", "garbage", "'{path}' cannot be read or parsed'.\n"),
        (".ocsp", "%%%", "Error reading OCSP response in base64 format\n"),
        (".ocsp", base64.b64encode(b"garbage").decode(), "Unable to parse OCSP response\n"),
        (".sctl", "AAAA", "lists of signed certificate timestamps are not served by trilb\n"),
    ],
)
def test_a_broken_payload_is_refused(world: World, ending: str, payload: str, said: str) -> None:
    path = world.write("a.pem", pem.leaf("a.example").pem)
    world.bind(crt=(path,))
    answer = world.ask(f"set ssl cert {path}{ending}", payload)
    assert answer.startswith(said.format(path=path))
    assert answer.endswith(f"Can't load the payload\nCan't update {path}{ending}!\n")
    assert world.ask("show ssl cert") == f"# filename\n{path}\n"


def test_a_key_with_a_passphrase_is_named_as_such(world: World) -> None:
    from cryptography.hazmat.primitives import serialization as form

    path = world.write("a.pem", pem.leaf("a.example").pem)
    world.bind(crt=(path,))
    secret = pem.leaf("b.example").key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x")
    )
    assert "passphrase" in world.ask(f"set ssl cert {path}", pem.leaf("b.example").crt + secret.decode())


def test_a_key_of_another_certificate_is_refused_at_commit(world: World) -> None:
    path = world.write("a.pem", pem.leaf("a.example").pem)
    binding = world.bind(crt=(path,))
    before = binding.selector
    world.ask(f"set ssl cert {path}", pem.leaf("b.example").crt + pem.leaf("c.example").private)
    assert world.ask(f"commit ssl cert {path}") == (
        f"inconsistencies between private key and certificate loaded '{path}'.\nCan't commit {path}!\n"
    )
    assert binding.selector is before
    assert world.ask(f"set ssl cert {path}.key", pem.leaf("b.example").private) == (
        f"Transaction updated for certificate {path}!\n"
    )
    assert world.ask(f"commit ssl cert {path}").endswith("Success!\n")


def test_a_certificate_without_its_key_is_refused_at_commit(world: World) -> None:
    path = world.write("a.pem", pem.leaf("a.example").pem)
    world.bind(crt=(path,))
    world.ask(f"set ssl cert {path}", pem.leaf("b.example").crt)
    assert world.ask(f"commit ssl cert {path}") == (
        f"The transaction must contain at least a certificate and a private key!\nCan't commit {path}!\n"
    )


def test_what_openssl_refuses_leaves_everything_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = world.write("a.pem", pem.leaf("a.example").pem)
    binding = world.bind(crt=(path,))
    server = world.server(crt=(path,), verify="none")
    before, context = binding.selector, server.context

    def refuse(*args: object) -> None:
        raise Refused("no such luck")

    world.ask(f"set ssl cert {path}", pem.leaf("b.example").pem)
    with monkeypatch.context() as patch:
        patch.setattr("trilb.tls.context.client_side", refuse)
        assert world.ask(f"commit ssl cert {path}") == (f"'server s1' : no such luck\nCan't commit {path}!\n")
    assert binding.selector is before
    assert server.context is context
    assert pem.leaf("a.example").sha1 in world.ask(f"show ssl cert {path}")
    assert world.ask(f"commit ssl cert {path}") == f"Committing {path}..\nSuccess!\n"
    assert server.context is not context


def test_unknown_files_are_refused(world: World) -> None:
    world.bind(crt=(world.write("a.pem", pem.leaf("a.example").pem),))
    text = "Can't replace a certificate which is not referenced by the configuration!\nCan't update {}!\n"
    for name in ("nix.pem", "nix.pem.key"):
        assert world.ask(f"set ssl cert {name}", pem.leaf("a.example").pem) == text.format(name)
    assert world.ask("show ssl cert nix") == (
        "Can't display the certificate: Not found or the certificate is a bundle!\n"
    )
    assert world.ask("del ssl cert nix") == ("Can't remove the certificate: certificate 'nix' doesn't exist!\n\n")
    assert world.ask("set ssl cert") == "'set ssl cert expects a filename and a certificate as a payload\n"


def test_new_and_del(world: World) -> None:
    used = world.write("a.pem", pem.leaf("a.example").pem)
    world.bind(crt=(used,))
    assert world.ask("new ssl cert n.pem") == "New empty certificate store 'n.pem'!\n"
    assert world.ask("new ssl cert n.pem") == "Certificate 'n.pem' already exists!\n"
    assert world.ask("show ssl cert n.pem") == "Filename: n.pem\nStatus: Empty\nOCSP Response Key: \n"
    assert world.swap("n.pem", pem.leaf("n.example").pem) == "Committing n.pem\nSuccess!\n"
    assert "Status: Unused\n" in world.ask("show ssl cert n.pem")
    assert world.ask("del ssl cert n.pem") == "Certificate 'n.pem' deleted!\n"
    assert world.ask(f"del ssl cert {used}") == (
        f"Can't remove the certificate: certificate '{used}' in use, can't be deleted!\n\n"
    )


def test_a_bundle_is_changed_file_by_file(world: World) -> None:
    first = {kind: pem.leaf("a.example", kind) for kind in ("rsa", "ec")}
    rsa, ecdsa = world.write("x.pem.rsa", first["rsa"].pem), world.write("x.pem.ecdsa", first["ec"].pem)
    base = rsa.removesuffix(".rsa")
    binding = world.bind(crt=(base,))
    assert world.ask("show ssl cert") == f"# filename\n{ecdsa}\n{rsa}\n"
    assert "is a bundle" in world.ask(f"show ssl cert {base}")
    assert "not referenced" in world.ask(f"set ssl cert {base}", first["rsa"].pem)
    assert "already exists" in world.ask(f"new ssl cert {base}")
    changed = pem.leaf("b.example", "ec")
    assert world.swap(ecdsa, changed.pem) == f"Committing {ecdsa}.\nSuccess!\n"
    assert shown(binding.selector.choose(None)) == changed.sha1
    assert {use.certificate.path for use in binding.selector.defaults} == {rsa, ecdsa}


def test_the_key_in_a_file_of_its_own(world: World) -> None:
    old, new = pem.leaf("a.example"), pem.leaf("b.example")
    crt, _ = world.write("a.crt", old.crt), world.write("a.key", old.private)
    with pytest.raises(Refused, match="no private key"):
        world.bind(crt=(crt,))
    world.settings.tls_strip = True
    binding = world.bind(crt=(crt,))
    world.ask(f"set ssl cert {crt}", new.crt)
    key = crt.replace(".crt", ".key")
    assert world.ask(f"set ssl cert {key}", new.private) == f"Transaction updated for certificate {crt}!\n"
    world.ask(f"commit ssl cert {crt}")
    assert shown(binding.selector.choose(None)) == new.sha1


def test_dump_gives_the_key_the_certificate_and_its_chain(world: World) -> None:
    found = pem.leaf("a.example", ca="one")
    found = pem.Pair(found.certificate, found.key, (pem.authority("one").certificate,))
    path = world.write("a.pem", found.pem)
    world.bind(crt=(path,))
    assert world.ask(f"dump ssl cert {path}") == found.private + found.crt
    world.ask(f"set ssl cert {path}", pem.leaf("b.example").pem)
    assert world.ask(f"dump ssl cert *{path}") == pem.leaf("b.example").private + pem.leaf("b.example").crt
    assert world.ask("dump ssl cert nix").startswith("Can't dump the certificate")


def test_chains_of_a_directory_complete_what_has_none(world: World) -> None:
    found = pem.leaf("a.example", ca="one")
    issuer = world.write("chains/one.pem", pem.authority("one").crt)
    world.write("chains/two.pem", pem.authority("two").crt)
    world.settings.tls_issuers = str(world.path / "chains")
    path = world.write("a.pem", found.pem)
    world.bind(crt=(path,))
    text = world.ask(f"show ssl cert {path}")
    assert f"Chain Filename: {issuer}\n" in text
    assert "Chain Subject: /CN=one\nChain Issuer: /CN=one\n" in text
    assert world.ask(f"dump ssl cert {path}") == found.private + found.crt
    world.swap(path, pem.leaf("b.example", ca="two").pem)
    assert "Chain Subject: /CN=two\n" in world.ask(f"show ssl cert {path}")


def test_an_ocsp_response_and_its_key(world: World) -> None:
    ca, found = pem.authority("one"), pem.leaf("a.example", ca="one", serial=0x100F)
    path = world.write("a.pem", found.pem)
    world.bind(crt=(path,))
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            found.certificate, ca.certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, pem.BEGIN, pem.END, None, None
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, ca.certificate)
        .sign(ca.key, hashes.SHA256())
    )
    world.ask(f"set ssl cert {path}.ocsp", base64.b64encode(answer.public_bytes(Encoding.DER)).decode())
    world.ask(f"set ssl cert {path}.issuer", ca.crt)
    world.ask(f"commit ssl cert {path}")
    text = world.ask(f"show ssl cert {path}")
    assert "OCSP Response Key: 303b300906052b0e03021a05000414" in text
    assert text.endswith("0202100f\n")


def test_files_of_a_crt_store(world: World) -> None:
    found, other = pem.leaf("a.example"), pem.leaf("b.example")
    crt, key = world.write("a.crt", found.crt + other.private), world.write("secret", found.private)
    world.settings.tls_loads["@web/a"] = CertificateFiles(crt, key)
    world.store.load()
    assert world.ask("show ssl cert") == "# filename\n@web/a\n"
    binding = world.bind(crt=("@web/a",))
    assert shown(binding.selector.choose(None)) == found.sha1
    assert world.swap("@web/a", other.pem).endswith("Success!\n")
    world.settings.tls_loads["@web/b"] = CertificateFiles(str(world.path / "nix"))
    with pytest.raises(Refused, match="nix"):
        world.store.load()


def test_who_may(world: World) -> None:
    assert world.ask("show ssl cert", level="user") == "Permission denied\n"
    assert world.ask("show ssl cert", level="operator") == "# filename\n"
    for verb in ("new", "set", "commit", "abort", "del"):
        for kind in ("cert", "ca-file", "crl-file"):
            assert world.ask(f"{verb} ssl {kind} x", level="operator") == "Permission denied\n"
    for text in ("add ssl ca-file", "dump ssl cert", "show ssl crt-list", "add ssl crt-list", "del ssl crt-list"):
        assert world.ask(text, level="operator") == "Permission denied\n"


# -- authorities and revocations -----------------------------------------------------------------------------------


def test_authorities_are_replaced_for_all_who_believe_them(world: World) -> None:
    path = world.write("ca.pem", pem.authority("one").crt)
    crt = world.write("a.pem", pem.leaf("a.example").pem)
    plain = world.bind(crt=(crt,))
    binding = world.bind(crt=(crt,), ca_file=path, verify="required")
    server = world.server(ca_file=path, verify="required")
    before = [plain.selector, binding.selector.default, server.context]
    assert world.ask(f"set ssl ca-file {path}", pem.authority("two").crt) == f"transaction created for CA {path}!\n"
    assert world.ask(f"add ssl ca-file {path}", pem.authority("one").crt) == f"transaction updated for CA {path}!\n"
    assert f"# transaction\n*{path} - 2 certificate(s)\n# filename\n{path} - 1 certificate(s)\n" in world.ask(
        "show ssl ca-file"
    )
    assert world.ask(f"commit ssl ca-file {path}") == f"Committing {path}..\nSuccess!\n"
    after = [plain.selector, binding.selector.default, server.context]
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False, False]
    store = after[2].get_cert_store()
    assert store is not None
    assert f"{path} - 2 certificate(s)\n" in world.ask("show ssl ca-file")
    text = world.ask(f"show ssl ca-file {path}:2")
    assert "Certificate #2:\n" in text
    assert "Subject: /CN=one\n" in text
    assert "Certificate #1" not in text
    assert world.ask(f"show ssl ca-file {path}:3") == ""
    assert world.ask(f"show ssl ca-file {path}:0") == f"wrong CA index after colons in '{path}:0'!\n"


def test_files_that_are_to_come(world: World) -> None:
    world.bind(crt=(world.write("a.pem", pem.leaf("a.example").pem),))
    for word, kind, payload in (
        ("ca-file", "CA", pem.authority("one").crt),
        ("crl-file", "CRL", pem.revocations("one", 5)),
    ):
        name = f"new.{kind}"
        assert world.ask(f"new ssl {word} {name}") == f"New {kind} file created '{name}'!\n"
        assert world.ask(f"new ssl {word} {name}") == f"{kind} file '{name}' already exists!\n"
        assert world.ask(f"set ssl {word} {name}", "garbage") == f"Invalid payload\nCan't update {name}!\n"
        assert world.ask(f"set ssl {word} {name}", payload) == f"transaction created for {kind} {name}!\n"
        assert world.ask(f"del ssl {word} {name}") == (
            f"Can't remove the {kind} file: ongoing transaction for the {kind} file '{name}'\n"
        )
        assert world.ask(f"commit ssl {word} {name}") == f"Committing {name}\nSuccess!\n"
        assert "Status: Unused\n" in world.ask(f"show ssl {word} {name}")
        assert world.ask(f"del ssl {word} {name}") == f"{kind} file '{name}' deleted!\n"
        assert world.ask(f"del ssl {word} {name}") == (
            f"Can't remove the {kind} file: {kind} file '{name}' doesn't exist!\n\n"
        )


def test_the_systems_own_authorities(world: World) -> None:
    server = world.server(ca_file="@system-ca", verify="required")
    before = server.context
    assert "@system-ca - " in world.ask("show ssl ca-file")
    world.ask("set ssl ca-file @system-ca", pem.authority("one").crt)
    assert world.ask("commit ssl ca-file @system-ca") == "Committing @system-ca.\nSuccess!\n"
    assert server.context is not before
    assert "@system-ca - 1 certificate(s)\n" in world.ask("show ssl ca-file")


def test_revocations_are_shown_and_replaced(world: World) -> None:
    ca = world.write("ca.pem", pem.authority("one").crt)
    crl = world.write("crl.pem", pem.revocations("one"))
    binding = world.bind(
        crt=(world.write("a.pem", pem.leaf("a.example").pem),), ca_file=ca, crl_file=crl, verify="required"
    )
    before = binding.selector.default
    head = f"Filename: {crl}\nStatus: Used\n"
    assert world.ask(f"show ssl crl-file {crl}") == (
        f"{head} \nCertificate Revocation List #1:\nVersion 2\nSignature Algorithm: ecdsa-with-SHA256\n"
        "Issuer: /CN=one\nLast Update: Jan  3 04:05:06 2024 GMT\nNext Update: Nov 30 23:59:59 2049 GMT\n"
        "No Revoked Certificates.\n"
    )
    world.ask(f"set ssl crl-file {crl}", pem.revocations("one", 0xABC))
    assert world.ask(f"commit ssl crl-file {crl}") == f"Committing {crl}.\nSuccess!\n"
    assert binding.selector.default is not before
    assert world.ask(f"show ssl crl-file {crl}").endswith(
        "Revoked Certificates:\n    Serial Number: 0ABC\n        Revocation Date: Jan  3 04:05:06 2024 GMT\n"
    )
    assert world.ask(f"show ssl crl-file {crl}:7") == head
    assert world.ask(f"del ssl crl-file {crl}") == (
        f"Can't remove the CRL file: CRL file '{crl}' in use, can't be deleted!\n\n"
    )


# -- lists ---------------------------------------------------------------------------------------------------------


def test_lines_come_and_go(world: World) -> None:
    one, two = (world.write(f"{name}.pem", pem.leaf(f"{name}.example").pem) for name in ("a", "b"))
    names = world.write("l.list", f"# the list\n{one}\n\n{one} [verify none] x.example !y.example\n")
    binding = world.bind(crt_list=(names,))
    world.bind(crt=(two,))
    assert world.ask("show ssl crt-list") == f"{names}\n"
    assert world.ask(f"show ssl crt-list -n {names}/") == (
        f"# {names}\n{one}:2\n{one}:4 [verify none] x.example !y.example\n"
    )
    assert world.ask(f"add ssl crt-list {names}// {two}") == (
        f"Inserting certificate '{two}' in crt-list '{names}'.\nSuccess!\n"
    )
    assert shown(binding.selector.choose(b"b.example")) == pem.leaf("b.example").sha1
    world.ask(f"add ssl crt-list {names}", f"{two} [alpn h2,http/1.1] *.c.example !d.c.example\n")
    assert f"{two}:6 [alpn h2,http/1.1] *.c.example !d.c.example\n" in world.ask(f"show ssl crt-list -n {names}")
    assert shown(binding.selector.choose(b"1.c.example")) == pem.leaf("b.example").sha1
    assert shown(binding.selector.choose(b"d.c.example")) == pem.leaf("a.example").sha1
    assert world.ask(f"del ssl crt-list {names} {two}") == (
        f"Can't delete the entry: found the certificate '{two}' in several entries, please specify a line number"
        " preceded by colons (5, 6)!\n"
    )
    assert world.ask(f"del ssl crt-list {names} {two}:5") == f"Entry '{two}' deleted in crtlist '{names}'!\n"
    assert shown(binding.selector.choose(b"b.example")) == pem.leaf("a.example").sha1
    assert world.ask(f"del ssl crt-list {names} {one}:2") == (
        f"Can't delete the entry: certificate '{one}' cannot be deleted, it is used as default certificate by the"
        " following frontends:\n\t- lb.cfg:7\n\n"
    )
    assert world.ask(f"del ssl crt-list {names} {one}:4") == f"Entry '{one}' deleted in crtlist '{names}'!\n"


def test_a_list_may_become_empty_where_names_are_strict(world: World) -> None:
    one = world.write("a.pem", pem.leaf("a.example").pem)
    names = world.write("l.list", f"{one}\n")
    binding = world.bind(crt_list=(names,), strict_sni=True)
    assert world.ask(f"del ssl crt-list {names} {one}").startswith("Entry")
    assert binding.selector.choose(b"a.example") is None
    assert world.ask(f"del ssl cert {one}") == f"Certificate '{one}' deleted!\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nix.pem", "certificate 'nix.pem' does not exist!"),
        ("empty.pem", "certificate 'empty.pem' is empty!"),
        ("{one} [bogus x] a", "parsing [CLI:1]: unknown ssl keyword bogus"),
        ("{one} [ca-file {ca}] a", "'ca-file' : unable to load {ca}"),
        ("{one} [ca-verify-file {ca}] a", "'ca-verify-file' : unable to load {ca}"),
        ("{one} [crl-file {ca}] a", "'crl-file' : unable to load {ca}"),
        ("{one} [verify required] a", "'verify required' needs a 'ca-file'"),
        ("{one} [ciphers NIX] a", "'ciphers' : OpenSSL knows nothing usable in 'NIX'"),
        ("{one} a\n{one} b", "only one line of payload is supported!"),
    ],
)
def test_a_line_that_cannot_be_added(world: World, line: str, said: str) -> None:
    one, ca = world.write("a.pem", pem.leaf("a.example").pem), world.write("ca.pem", pem.authority("one").crt)
    names = world.write("l.list", f"{one}\n")
    binding = world.bind(crt_list=(names,))
    world.ask("new ssl cert empty.pem")
    before = binding.selector
    answer = world.ask(f"add ssl crt-list {names}", line.format(one=one, ca=ca))
    assert answer == f"Can't edit the crt-list: {said.format(ca=ca)}\n"
    assert binding.selector is before
    assert world.ask(f"show ssl crt-list {names}") == f"# {names}\n{one}\n"


def test_a_line_with_authorities_of_its_own(world: World) -> None:
    one = world.write("a.pem", pem.leaf("a.example").pem)
    names = world.write("l.list", f"{one}\n")
    world.bind(crt_list=(names,))
    world.ask("new ssl ca-file ca.new")
    world.ask("set ssl ca-file ca.new", pem.authority("one").crt)
    world.ask("commit ssl ca-file ca.new")
    assert "Success!" in world.ask(f"add ssl crt-list {names}", f"{one} [ca-file ca.new verify optional] z.example")
    assert "in use" in world.ask("del ssl ca-file ca.new")
    world.ask(f"del ssl crt-list {names} {one}:2")
    assert world.ask("del ssl ca-file ca.new") == "CA file 'ca.new' deleted!\n"


def test_directories_are_lists(world: World) -> None:
    one, two = (world.write(f"dir/{name}.pem", pem.leaf(f"{name}.example").pem) for name in ("a", "b"))
    world.write("dir/a.pem.key", "not looked at")
    directory = str(world.path / "dir")
    binding = world.bind(crt=(f"{directory}/",))
    assert world.ask(f"show ssl crt-list {directory}") == f"# {directory}\n{one}\n{two}\n"
    assert world.ask(f"add ssl crt-list {directory} {two}") == (
        "Can't edit the crt-list: file already exists in this directory!\n"
    )
    assert world.ask(f"add ssl crt-list {directory} /x.pem") == (
        f"Can't edit the crt-list: '{directory}' is a directory, certificate path '/x.pem' must contain the directory"
        " path\n"
    )
    assert world.ask(f"del ssl crt-list {directory} {two}") == f"Entry '{two}' deleted in crtlist '{directory}'!\n"
    assert shown(binding.selector.choose(b"b.example")) == pem.leaf("a.example").sha1
    assert "Success!" in world.ask(f"add ssl crt-list {directory} {two}")
    assert f"{two}:1\n" in world.ask(f"show ssl crt-list -n {directory}")


def test_names_and_their_certificates(world: World) -> None:
    one = world.write("a.pem", pem.leaf("a.example", others=("*.a.example",)).pem)
    two = world.write("b.pem", pem.leaf("b.example", "rsa").pem)
    world.bind("one", crt=(one,))
    names = world.write("l.list", f"{two} *.x.example !y.x.example\n")
    world.bind("two", crt_list=(names,), strict_sni=True)
    head = "# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore\n"
    dates = "Nov 30 23:59:59 2049 GMT\tJan  3 04:05:06 2024 GMT\n"
    first = "".join(f"one/lb.cfg:7\t{name}\t-\tecdsa\t{one}\t{dates}" for name in ("*.a.example", "a.example", "*"))
    second = f"two/lb.cfg:7\t*.x.example\t!y.x.example\trsa\t{two}\t{dates}"
    assert world.ask("show ssl sni") == head + first + second
    assert world.ask("show ssl sni -f two") == head + second
    assert world.ask("show ssl sni -A") == head
    assert world.ask("show ssl sni -A -t 36500d -f two") == head + second
    assert world.ask("show ssl sni -f nix") == "Couldn't find the specified frontend!\n"
    assert "expects" in world.ask("show ssl sni -t soon")


def test_the_certificate_is_what_was_given(world: World) -> None:
    found = pem.leaf("a.example", "rsa")
    path = world.write("a.pem", found.private + found.crt)
    world.bind(crt=(path,))
    text = world.ask(f"dump ssl cert {path}")
    assert x509.load_pem_x509_certificate(text.encode()) == found.certificate


def armoured(der: bytes, kind: str) -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flip", [1, 3, 0x10, 0xFF])
def test_whatever_is_set_is_taken_or_refused(world: World, flip: int) -> None:
    leaf = pem.leaf("a.example", ca="one")
    files = {
        "cert": (world.write("a.pem", leaf.pem), leaf.certificate.public_bytes(Encoding.DER), "CERTIFICATE"),
        "ca-file": (
            world.write("ca.pem", pem.authority("one").crt),
            pem.authority("one").certificate.public_bytes(Encoding.DER),
            "CERTIFICATE",
        ),
        "crl-file": (
            world.write("crl.pem", pem.revocations("one", 5)),
            x509.load_pem_x509_crl(pem.revocations("one", 5).encode()).public_bytes(Encoding.DER),
            "X509 CRL",
        ),
    }
    paths = {kind: path for kind, (path, _, _) in files.items()}
    world.bind(crt=(paths["cert"],), ca_file=paths["ca-file"], crl_file=paths["crl-file"], verify="optional")
    for kind, (path, good, label) in files.items():
        for at in range(0, len(good), 3):
            bad = bytearray(good)
            bad[at] ^= flip
            world.ask(f"set ssl {kind} {path}", armoured(bytes(bad), label) + (leaf.private if kind == "cert" else ""))
            world.ask(f"show ssl {kind} *{path}")
            world.ask(f"commit ssl {kind} {path}")
            world.ask(f"show ssl {kind} {path}")
            world.ask(f"abort ssl {kind} {path}")
        assert world.ask(f"set ssl {kind} {path}", Path(path).read_text()).lower().startswith("transaction created")
        assert "Success!" in world.ask(f"commit ssl {kind} {path}")
