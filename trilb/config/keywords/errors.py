"""Error pages: errorfile, errorfiles, errorloc, http-error, `http-errors` sections, and what monitors are told."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.expressions import parse_condition
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import ErrorImport, Proxy, ReplyLine, Source
from trilb.config.replies import handled, parse_reply, read_page
from trilb.config.sections import ErrorSection


def _two(line: Line, context: Context, usage: str) -> tuple[str, ...]:
    """The two words after the keyword; HAProxy does not look at what follows them."""
    if len(line.words) > 3:
        context.report.warn(line.at(3), f"'{line.words[0]}' ignores '{line.words[3]}'; usage: {usage}")
    return only(line, 2, usage) if len(line.words) < 3 else line.words[1:3]


def _page(line: Line, context: Context) -> tuple[int, bytes]:
    code, path = _two(line, context, "errorfile <code> <file>")
    status = handled(code, "'errorfile'")
    settings = context.config.globals
    return status, read_page(path, context.base, (settings.bufsize, settings.maxrewrite))


@keyword("proxy", "errorfile")
def errorfile(line: Line, proxy: Proxy, context: Context) -> None:
    """`errorfile CODE FILE`: a whole answer, headers included; an empty file closes without a word."""
    status, page = _page(line, context)
    proxy.error_lines.append((status, ReplyLine(status, Source.PAGE, page=page, place=line.place)))


@keyword("http-errors", "errorfile")
def section_errorfile(line: Line, section: ErrorSection, context: Context) -> None:
    """`errorfile CODE FILE` in an `http-errors` section: proxies take it by the section's name."""
    status, page = _page(line, context)
    section.pages[status] = page


@keyword("proxy", "errorfiles")
def errorfiles(line: Line, proxy: Proxy, context: Context) -> None:
    """`errorfiles NAME [CODE...]`: take error files, or some of them, from an `http-errors` section."""
    if len(line.words) < 2:
        raise Refused("'errorfiles' expects the name of an http-errors section; usage: errorfiles <name> [<code>...]")
    statuses = tuple(handled(code, "'errorfiles'") for code in line.words[2:])
    proxy.error_lines.append(ErrorImport(line.words[1], statuses, line.place))


@keyword("proxy", "errorloc", "errorloc302", "errorloc303")
def errorloc(line: Line, proxy: Proxy, context: Context) -> None:
    """`errorloc CODE URL`: redirect to a page instead; errorloc303 makes the client ask for it with GET."""
    name = line.words[0]
    code, url = _two(line, context, f"{name} <code> <url>")
    status = handled(code, f"'{name}'")
    kind = "303 See Other" if name == "errorloc303" else "302 Found"
    page = f"HTTP/1.1 {kind}\r\nCache-Control: no-cache\r\nContent-length: 0\r\nLocation: {url}\r\n\r\n"
    reply = ReplyLine(status, Source.PAGE, page=page.encode("latin-1"), place=line.place)
    proxy.error_lines.append((status, reply))


@keyword("proxy", "http-error")
def http_error(line: Line, proxy: Proxy, context: Context) -> None:
    """`http-error status CODE ...`: what to answer instead of an error page, in the words of `return`."""
    words = list(line.words[1:])
    if "status" not in words:
        raise Refused("'http-error' expects a status: http-error status <code> ...")
    reply = parse_reply(words, context.scope(proxy, line.place))
    handled(str(reply.status), "'http-error'")
    proxy.error_lines.append((reply.status, reply))


@keyword("proxy", "monitor-uri", where="DFL")
def monitor_uri(line: Line, proxy: Proxy, context: Context) -> None:
    """`monitor-uri URI`: answered 200 by the frontend itself, never logged nor forwarded."""
    (proxy.monitor_uri,) = only(line, 1, "monitor-uri <uri>")


@keyword("proxy", "monitor", where="FL")
def monitor(line: Line, proxy: Proxy, context: Context) -> None:
    """`monitor fail if|unless CONDITION`: answer 503 to monitors while it holds; lines add up."""
    if line.words[1:2] != ("fail",):
        raise Refused("'monitor' only knows 'fail'; usage: monitor fail { if | unless } <condition>")
    words = list(line.words[2:])
    if words[:1] not in (["if"], ["unless"]):
        raise Refused("'monitor fail' requires either 'if' or 'unless' followed by a condition")
    scope = context.scope(proxy, line.place, "request")
    proxy.monitor_fail.append(parse_condition(words, scope, lambda name: name in proxy.acls))
