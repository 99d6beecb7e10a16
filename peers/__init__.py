"""How replicas keep tables equal: a protocol over msgpack, and the service that speaks it.

The package knows nothing of trilb. `messages` frames and bounds what travels, `replica` decides what to send to whom
and what a message means (no I/O, time is passed in), `service` is the only part that opens connections. A table is
anything that satisfies `peers.table.Table`.
"""
