"""Tasks of an HTTP/2 connection: they outlive a burst by a moment, and leave none behind but one."""

from __future__ import annotations

import socket

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from tests.support.h2wire import get
from trilb.assembly import build
from trilb.base.clock import Clock
from trilb.config.conditions import Facts
from trilb.config.reader import read
from trilb.config.sources import Source
from trilb.proxy.accept import Acceptor
from trilb.vocabulary import language

CONFIG = """
listen web
    mode http
    bind 127.0.0.1:80
    timeout client 20s
    timeout connect 1s
    timeout server 1s
    http-request return status 200
"""
BURST = 8


async def burst(stream: trio.SocketStream, client: H2Connection) -> None:
    """Requests at once, and all of their answers."""
    for _ in range(BURST):
        client.send_headers(client.get_next_available_stream_id(), get(), end_stream=True)
    await stream.send_all(client.data_to_send())
    ended = 0
    while ended < BURST:
        ended += sum(isinstance(event, StreamEnded) for event in client.receive_data(await stream.receive_some()))
    await stream.send_all(client.data_to_send())


async def test_tasks_rest_for_a_moment() -> None:
    config, report = read([Source("test.cfg", CONFIG)], language(), Facts("3.5.0", {}))
    assert not report.failed
    made = build(config, Clock())
    plane = made.plane
    plane.clock.follow(trio.current_time)
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(15):
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(plane.poller.run)
            nursery.start_soon(plane.wheel.run)
            nursery.start_soon(plane.poller.shelter)
            acceptor = Acceptor(plane, made.frontends["web"], listener, "", 1, made.process.sessions)
            acceptor.proto = "h2"
            nursery.start_soon(acceptor.run, nursery)
            client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
            client.initiate_connection()
            async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                await burst(stream, client)
                after_one = trio.lowlevel.current_statistics().tasks_living
                await burst(stream, client)
                assert trio.lowlevel.current_statistics().tasks_living == after_one
                while trio.lowlevel.current_statistics().tasks_living > after_one - BURST + 1:
                    await trio.sleep(0.01)
                await trio.sleep(0.05)
                assert trio.lowlevel.current_statistics().tasks_living == after_one - BURST + 1
                # The connection is as it was: one that is left serves, others begin anew.
                await burst(stream, client)
            nursery.cancel_scope.cancel()
