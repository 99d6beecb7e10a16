"""How connections to a server begin, and those of its checks: from its line to what opens them. Runs at load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from trilb.config.lines import ServerLine
from trilb.config.model import Mode
from trilb.config.probes import ConnectStep, Probe
from trilb.health.implied import host_of
from trilb.health.play import Opening as CheckOpening
from trilb.live.server import Opening, Server
from trilb.live.stream import Stream
from trilb.proxy import opening
from trilb.rules.registry import Builder
from trilb.samples import build as samples
from trilb.tls.store import Store as TlsStore

Name = Callable[[Stream], bytes | None]


def check_opening(store: TlsStore, line: ServerLine, step: ConnectStep, probe: Probe) -> CheckOpening | None:
    """What a check's connection begins with: what its step says, and what the server line says where it may.

    TLS and the PROXY header of the server are not used when its check goes elsewhere (configuration.txt, `check-ssl`).
    """
    # One that is added while running has a check of its own in this (regression test server/cli_add_check_server).
    elsewhere = bool(line.check_port or line.check_address) or line.added
    secured, header, name, alpn = step.ssl, "v1" if step.send_proxy else "", step.sni, step.alpn
    proto = step.proto
    if step.default:
        secured = secured or (line.check_ssl if line.check_ssl is not None else line.ssl and not elsewhere)
        if line.check_send_proxy or (line.send_proxy and not elsewhere):
            header = line.send_proxy or "v1"
        name = name or line.check_sni or (host_of(probe) if line.check_sni_auto else "")
        proto = proto or line.check_proto or line.proto
    http = probe.kind == "httpchk"
    multiplexed = proto == "h2" and http
    if not secured and not header and not multiplexed:
        return None
    outgoing = None
    if secured:
        alpn = alpn or (line.check_alpn if line.check_alpn is not None else line.tls.alpn if http else ()) or ()
        outgoing = store.server(replace(line, tls=replace(line.tls, alpn=alpn)))
    made = CheckOpening(header, outgoing, name.encode("latin-1") or None)
    made.multiplexed = multiplexed if proto or not http else None
    return made


def opening_of(store: TlsStore, server: Server, builder: Builder) -> Opening | None:
    """How its connections begin, where that is more than connecting."""
    line = server.line
    follows = server.transparent or server.port_offset is not None
    if not line.ssl and not line.send_proxy and line.pool_conn_name is None and not follows:
        return None
    made = Opening()
    made.follows = follows
    if line.send_proxy:
        tlvs = tuple((kind, builder.writer(text, "plain")) for kind, text in line.proxy_tlvs)
        made.header = opening.header(line.send_proxy, line.proxy_options, tlvs)
    if line.ssl:
        made.tls = store.server(line)
        downgrades = line.ws == "h1" or (line.ws == "auto" and b"http/1.1" in (line.tls.alpn or ()))
        if b"h2" in (line.tls.alpn or ()) and downgrades:
            h1 = replace(line, tls=replace(line.tls, alpn=(b"http/1.1",)))
            made.tls_h1 = store.server(h1)
        if line.tls.sni is not None:
            made.name = cast(Name, samples.expression(line.tls.sni, builder, "str"))
        elif line.tls.sni_auto and server.backend.config.mode is Mode.HTTP:
            made.name = _host
    if line.pool_conn_name is not None:
        made.alias = cast(Name, samples.expression(line.pool_conn_name, builder, "str"))
    return made


def _host(stream: Stream) -> bytes | None:
    """The host of a request without its port, to ask an HTTPS server for (configuration.txt, `sni-auto`)."""
    host = stream.request.get(b"host") if stream.request is not None else None
    return host.partition(b":")[0] or None if host else None
