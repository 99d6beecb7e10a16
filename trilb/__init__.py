"""trilb: a drop-in, HAProxy-style TCP and HTTP load balancer on trio."""

__version__ = "0.1.0"
RELEASE_DATE = "2026/11/21"
"""The day of this version, as `show info` writes it."""

HAPROXY_VERSION = "3.0.0"
"""The HAProxy release whose configuration language trilb speaks; what `version_atleast()` compares with.

3.0 and not a later one: what newer releases added is refused by name here, so files and scripts that ask for
them must be told no.
"""
