"""Compiles the hot modules when asked to; everything else about the package stands in pyproject.toml.

The modules are plain Python, and run as such wherever nobody asked: `python setup.py build_ext --inplace` compiles them
where they are (`make compiled`), TRILB_COMPILE=1 into a wheel or an installation, which then needs what trilb needs and
mypy at hand: `TRILB_COMPILE=1 pip install --no-build-isolation .`. Compiled by mypyc, which needs no annotation that
mypy does not want anyway, they take a little over half of the processor's time a request (bench/README.md). What a
module must be to stand in this list: strictly typed, its classes not subclassed and its functions not replaced by one
that is not listed.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT = [
    "trilb/base/clock.py",
    "trilb/net/timers.py",
    "trilb/net/poller.py",
    "trilb/net/conn.py",
    "trilb/tls/conn.py",
    "trilb/http/head.py",
    "trilb/http/lane.py",
    "trilb/http/policy.py",
    "trilb/http/connection.py",
    "trilb/http/write.py",
    "trilb/http/framing.py",
    "trilb/http/h2.py",
    "trilb/http/h2events.py",
    "trilb/http/h2encode.py",
    "trilb/http/h2decode.py",
    "trilb/http/h2answer.py",
    "trilb/http/h2ask.py",
    "trilb/http/h2client.py",
    "trilb/http/h2server.py",
    "trilb/http/h2head.py",
    "trilb/live/check.py",
    "trilb/live/counters.py",
    "trilb/live/plan.py",
    "trilb/live/process.py",
    "trilb/live/proxy.py",
    "trilb/live/server.py",
    "trilb/live/session.py",
    "trilb/live/stream.py",
    "trilb/proxy/queue.py",
    "trilb/proxy/pool.py",
    "trilb/proxy/assign.py",
    "trilb/proxy/connect.py",
    "trilb/proxy/account.py",
    "trilb/proxy/relay.py",
    "trilb/proxy/tcp.py",
    "trilb/proxy/gather.py",
    "trilb/proxy/clientside.py",
    "trilb/proxy/obey.py",
    "trilb/proxy/delivery.py",
    "trilb/proxy/exchange.py",
    "trilb/proxy/phases.py",
    "trilb/proxy/http1.py",
    "trilb/proxy/inspect.py",
    "trilb/proxy/admit.py",
    "trilb/proxy/accept.py",
    "trilb/proxy/streamconn.py",
    "trilb/proxy/clientstream.py",
    "trilb/proxy/serverstream.py",
    "trilb/proxy/streamsession.py",
    "trilb/proxy/mux.py",
    "trilb/proxy/http2.py",
    "trilb/proxy/plane.py",
    "trilb/proxy/secure.py",
    "trilb/proxy/tracks.py",
    "trilb/tables/columns.py",
    "trilb/tables/store.py",
    "trilb/tables/tracking.py",
    "trilb/samples/logtext.py",
    "trilb/samples/logparts.py",
    "trilb/balance/rings.py",
    "trilb/affinity/cookie.py",
    "trilb/affinity/cacheable.py",
    "trilb/logs/writers.py",
    "trilb/logs/format.py",
    "trilb/logs/sinks.py",
    "trilb/affinity/stick.py",
    "trilb/rules/forwarded.py",
    "trilb/net/alarm.py",
    "trilb/health/results.py",
    "trilb/health/states.py",
    "trilb/health/verdict.py",
    "trilb/health/answer.py",
    "trilb/health/request.py",
    "trilb/health/script.py",
    "trilb/health/play.py",
    "trilb/health/run.py",
]


class SideBySide(build_ext):
    """Compiles the files of an extension on all processors."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link one extension."""
        compiler = self.compiler
        alone = compiler.compile

        def compile_all(sources: list[str], *args: object, **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: alone([source], *args, **options), sources)
                return [name for names in made for name in names]

        compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            compiler.compile = alone


if os.environ.get("TRILB_COMPILE") or "build_ext" in sys.argv:
    from mypyc.build import mypycify

    # A file for each module, compiled side by side: a single one of them all takes four times as long.
    made = mypycify(HOT, opt_level="2", debug_level="0", multi_file=True)
    setup(ext_modules=made, cmdclass={"build_ext": SideBySide})
else:
    setup()
