"""Variables, captures, unique ids, named ACLs, and what the log knows (configuration.txt, sections 7.3.2, 7.3.3)."""

from __future__ import annotations

from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_text
from trilb.samples.logparts import elapsed, wait_connect, wait_queue, wait_response
from trilb.samples.types import Fetch, fetch, plain
from trilb.samples.variables import Variable


@fetch("var", args=(Arg("name", Kind.VAR), optional("default")), gives="any", source="7.3.2")
def var(variable: Variable, default: str | None) -> Fetch:
    """A variable's value, or the default when it is not set."""
    if default is None:
        return variable.get
    other = default.encode("latin-1")

    def run(stream: Stream) -> bool | int | bytes:
        value = variable.get(stream)
        return other if value is None else value

    return run


@fetch("acl", args=(Arg("names", Kind.ACLS),), gives="bool", source="7.3.2")
def acl(tests: tuple[tuple[Fetch, bool], ...]) -> Fetch:
    """Whether all the named ACLs hold; a name after `!` must not."""

    def run(stream: Stream) -> bool:
        return all(bool(test(stream)) is wanted for test, wanted in tests)

    return run


@fetch("capture.req.hdr", args=(Arg("index", Kind.INT),), gives="str", source="7.3.6")
def capture_req_hdr(index: int) -> Fetch:
    """What a request's capture slot holds."""

    def run(stream: Stream) -> bytes | None:
        slots = stream.captures_in
        return slots[index] if slots is not None and 0 <= index < len(slots) else None

    return run


@fetch("capture.res.hdr", args=(Arg("index", Kind.INT),), gives="str", source="7.3.6")
def capture_res_hdr(index: int) -> Fetch:
    """What a response's capture slot holds."""

    def run(stream: Stream) -> bytes | None:
        slots = stream.captures_out
        return slots[index] if slots is not None and 0 <= index < len(slots) else None

    return run


@plain("unique-id", gives="str", source="7.3.6", doc="The request's unique id (`unique-id-format`).")
def _unique_id(stream: Stream) -> bytes | None:
    make = stream.frontend.plan.unique_id
    return make(stream) if make is not None else None


plain("txn.status", gives="sint", source="7.3.2", doc="The status the client is answered.")(
    lambda stream: stream.status if stream.status >= 0 else None
)
plain("txn.conn_retries", gives="sint", source="7.3.2", doc="How often the connection to the server was tried again.")(
    lambda stream: stream.retries
)
plain("txn.redispatched", gives="bool", source="7.3.2", doc="Whether another server than the first was taken.")(
    lambda stream: stream.redispatched
)
plain("txn.sess_term_state", gives="str", source="7.3.2", doc="The two letters of the termination state.")(
    lambda stream: (stream.cause + stream.during).encode()
)
plain("txn.timer.total", gives="sint", source="7.3.2", doc="Milliseconds since the request's first byte.")(
    lambda stream: int((stream.frontend.process.clock.now - stream.accepted) * 1000 + 0.5)
)
plain("txn.timer.user", gives="sint", source="7.3.2", doc="Milliseconds as the user sees them: idle time aside.")(
    lambda stream: int((stream.frontend.process.clock.now - stream.accepted) * 1000 + 0.5)
)
plain("req.timer.hdr", gives="sint", source="7.3.2", doc="Milliseconds until the request's head was there.")(
    lambda stream: elapsed(stream.accepted, stream.received)
)
plain("req.timer.idle", gives="sint", source="7.3.2", doc="Milliseconds before the request's first byte.")(
    lambda stream: elapsed(stream.idle_since, stream.accepted)
)
plain("req.timer.tq", gives="sint", source="7.3.2", doc="Milliseconds from the idle connection to the whole head.")(
    lambda stream: elapsed(stream.idle_since, stream.received)
)
plain("req.timer.queue", gives="sint", source="7.3.2", doc="Milliseconds in queues.")(wait_queue)
plain("bc.timer.connect", gives="sint", source="7.3.2", doc="Milliseconds to connect to the server.")(wait_connect)
plain("res.timer.hdr", gives="sint", source="7.3.2", doc="Milliseconds until the response's head was there.")(
    wait_response
)
plain("bytes_in", "req.bytes_in", gives="sint", source="7.3.2", doc="Bytes received from the client.")(
    lambda stream: stream.bytes_in
)
plain("bytes_out", "res.bytes_out", gives="sint", source="7.3.2", doc="Bytes sent to the client.")(
    lambda stream: stream.bytes_out
)
plain("internal.strm.is_htx", gives="bool", source="7.3.7", doc="Whether the stream is one of HTTP.")(
    # A TCP proxy may have recognised a request; it is one of HTTP when it has been received as such.
    lambda stream: stream.request is not None and stream.received > 0.0
)
plain("prio_class", gives="sint", source="7.3.2", doc="The class `set-priority-class` gave.")(
    lambda stream: stream.priority_class
)
plain("prio_offset", gives="sint", source="7.3.2", doc="The offset `set-priority-offset` gave.")(
    lambda stream: stream.priority_offset
)
plain("bc_srv_queue", gives="sint", source="7.3.3", doc="How many went before in the server's queue.")(
    lambda stream: stream.queue_server
)
plain("bc_be_queue", gives="sint", source="7.3.3", doc="How many went before in the backend's queue.")(
    lambda stream: stream.queue_backend
)
plain("fc.timer.total", gives="sint", source="7.3.2", doc="Milliseconds since the connection was accepted.")(
    lambda stream: int((stream.frontend.process.clock.now - stream.session.accepted) * 1000 + 0.5)
)


@fetch(
    "dump_all_vars", args=(optional("scope", default=""), optional("prefix", default="")), gives="str", source="7.3.2"
)
def dump_all_vars(scope: str, prefix: str) -> Fetch:
    """All variables of a scope, or of all, as `scope.name=value` joined by commas, those with a prefix only."""

    def run(stream: Stream) -> bytes:
        scopes = {
            "proc": stream.frontend.process.vars,
            "sess": stream.session.vars,
            "txn": stream.txn_vars,
            "req": stream.req_vars,
            "res": stream.res_vars,
        }
        return b", ".join(
            f"{where}.{name}=".encode() + (any_text(value) or b"")
            for where, values in scopes.items()
            if values and scope in ("", where)
            for name, value in values.items()
            if name.startswith(prefix)
        )

    return run
