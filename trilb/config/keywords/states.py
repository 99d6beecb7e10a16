"""Where the states of servers are read from at start (`server-state-file` and its kin)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import Proxy
from trilb.config.settings import Global


@keyword("global", "server-state-file")
def server_state_file(line: Line, settings: Global, context: Context) -> None:
    """`server-state-file FILE`: the states of the servers of all backends."""
    (name,) = only(line, 1, "server-state-file <file>")
    if settings.state_file:
        raise Refused("'server-state-file' already specified")
    settings.state_file = name


@keyword("global", "server-state-base")
def server_state_base(line: Line, settings: Global, context: Context) -> None:
    """`server-state-base DIRECTORY`: where files of states are that do not begin with a slash."""
    (name,) = only(line, 1, "server-state-base <directory>")
    if settings.state_base:
        raise Refused("'server-state-base' already specified")
    settings.state_base = name


@keyword("proxy", "load-server-state-from-file", where="DLB")
def load_server_state(line: Line, proxy: Proxy, context: Context) -> None:
    """`load-server-state-from-file global|local|none`."""
    (source,) = only(line, 1, "load-server-state-from-file global|local|none")
    if source not in ("global", "local", "none"):
        raise Refused(
            f"'load-server-state-from-file' expects 'global', 'local' or 'none'. Got '{source}'", column=line.columns[1]
        )
    proxy.state_from = source


@keyword("proxy", "server-state-file-name", where="LB")
def server_state_file_name(line: Line, proxy: Proxy, context: Context) -> None:
    """`server-state-file-name [use-backend-name|FILE]`: the file of this backend's servers."""
    if len(line.words) > 2:
        only(line, 1, "server-state-file-name [use-backend-name|<file>]")
    name = line.words[1] if len(line.words) > 1 else "use-backend-name"
    proxy.state_file = proxy.name if name == "use-backend-name" else name
