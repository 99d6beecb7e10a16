"""Flags in, exit code out: HAProxy's command line (management.txt, section 3).

`-cc` and `-v` never import trio: a driver calls them many times. What has no meaning here is accepted, what
waits for a later capability says so and fails.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace

from trilb import HAPROXY_VERSION, __version__
from trilb.base.diagnostic import NOWHERE, Diagnostic, Refused, Report, Severity
from trilb.config.conditions import Facts, evaluate
from trilb.config.model import Config, Side

FEATURES = frozenset(("OPENSSL", "EPOLL", "GETADDRINFO", "ACCEPT4", "NS", "PCRE2", "PROMEX"))
"""What `feature()` answers true for: capabilities that are served, under HAProxy's names."""
ENABLED = frozenset(("EPOLL", "POLL", "GETADDRINFO", "REUSEPORT"))

USAGE = """\
Usage : trilb [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ] [ -N <maxpconn> ]
        [ -p <pidfile> ] [ -m <max megs> ] [ -C <dir> ] [-- <cfgfile>*]
        -v displays version ; -vv shows build information
        -d enters debug mode, stays in the foreground ; -db only disables background mode
        -V enters verbose mode ; -q is quiet
        -D goes daemon ; -c checks the configuration files and exits
        -cc <condition> evaluates a condition and exits
        -C <dir> changes to <dir> before anything else
        -L <name> sets the local peer's name ; -p <file> writes the process's id
        -n <number> limits connections ; -N and -m are accepted
        -W master-worker mode ; -Ws the same, and tells the service manager
        -S <addr> the master's command socket
        -sf/-st <pid>* finish/terminate old processes once this one serves;
           their sockets and tables are taken over
        -x <socket> takes the listening sockets over from a runtime socket
        trilb doc prints the reference of what is served
"""


class _Usage(Exception):
    """The words of the command line make no sense."""


@dataclass(slots=True)
class Options:
    """The command line, read."""

    files: list[str] = field(default_factory=list)
    check: bool = False
    condition: str | None = None
    version: int = 0
    verbose: bool = False
    quiet: bool = False
    debug: bool = False
    foreground: bool = False
    daemon: bool = False
    strict: bool = False
    may_fork: bool = False
    only_ipv4: bool = False
    """Names are looked up in IPv4 only at run time, whatever the configuration says."""
    directory: str = ""
    localpeer: str = ""
    pidfile: str = ""
    maxconn: int = 0
    finish: list[int] = field(default_factory=list)
    terminate: list[int] = field(default_factory=list)
    master: bool = False
    notifies: bool = False
    master_socket: str = ""
    listeners_from: str = ""
    words: list[str] = field(default_factory=list)
    """What a worker of this master is started with."""


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0


def parse(argv: list[str]) -> Options:
    """Read the flags. Raises _Usage."""
    options = Options(words=_for_workers(argv))
    words = list(argv)

    def value(flag: str) -> str:
        if not words:
            raise Refused(f"option {flag} expects an argument")
        return words.pop(0)

    while words:
        word = words.pop(0)
        if word == "--":
            options.files += words
            break
        if word == "-vv":
            options.version = 2
        elif word == "-v" or word == "-version":
            options.version = max(options.version, 1)
        elif word == "-cc":
            options.condition = value(word)
        elif word in ("-W", "-Ws"):
            options.master = True
            options.notifies = options.notifies or word == "-Ws"
        elif word in ("-sf", "-st"):
            while words and not words[0].startswith("-"):
                pid = words.pop(0)
                if not pid.isdigit():
                    raise Refused(f"{word} option: '{pid}' is not a process id")
                (options.finish if word == "-sf" else options.terminate).append(int(pid))
        elif word == "-S":
            options.master_socket = value(word)
        elif word == "-x":
            options.listeners_from = value(word)
        elif word in ("-f", "-L", "-p", "-n", "-N", "-m", "-C"):
            _valued(options, word, value(word))
        elif word.startswith("-d"):
            options.strict = options.strict or word == "-dW"
            options.may_fork = options.may_fork or word == "-dI"
            options.debug = options.debug or word == "-d"
            options.foreground = options.foreground or word in ("-d", "-db")
        elif word.startswith("-c"):
            options.check = True
        elif word.startswith("-D"):
            options.daemon = True
        elif word.startswith("-V"):
            options.verbose = True
        elif word.startswith("-q"):
            options.quiet = True
        elif word == "-4":
            options.only_ipv4 = True
        else:
            raise _Usage
    return options


def _for_workers(argv: list[str]) -> list[str]:
    """The command line without what only concerns its first process."""
    kept: list[str] = []
    at = 0
    while at < len(argv):
        word = argv[at]
        at += 1
        if word in ("-S", "-x", "-p"):
            at += 1
        elif word in ("-sf", "-st"):
            while at < len(argv) and not argv[at].startswith("-"):
                at += 1
        elif word not in ("-W", "-Ws") and not word.startswith("-D"):
            kept.append(word)
    return kept


def _valued(options: Options, flag: str, text: str) -> None:
    if flag == "-f":
        options.files.append(text)
    elif flag == "-L":
        options.localpeer = text
    elif flag == "-p":
        options.pidfile = text
    elif flag == "-n":
        options.maxconn = _number(text)
    elif flag == "-C":
        options.directory = text


_said: list[str] = []
"""What `_say` said, for `show startup-logs`."""


def _say(severity: Severity, text: str) -> None:
    tag = f"[{severity.value}]".ljust(10)
    line = f"{tag} ({os.getpid()}) : {text}"
    print(line, file=sys.stderr)
    _said.append(line)
    master = os.environ.get("TRILB_READY_FD")
    if master is not None and master.isdecimal():
        # Who asked the master for a reload is to know why it failed (process/master.py).
        with suppress(OSError):
            os.write(int(master), f"{line}\n".encode())


def _version(level: int) -> None:
    print(f"HAProxy version {HAPROXY_VERSION} 2026/11/20 - trilb {__version__}, a load balancer on trio")
    print("Status: speaks the configuration language of HAProxy 3.0; not HAProxy.")
    print("Known bugs: see CHANGELOG.md of trilb")
    system = os.uname()
    print(f"Running on: {system.sysname} {system.release} {system.version} {system.machine}")
    if level > 1:
        print("Build options :")
        print("  TARGET  = linux-glibc")
        print("  CPU     = generic")
        print(f"  CC      = {sys.implementation.name} {sys.version.split()[0]}")
        print("  OPTIONS = USE_EPOLL=1 USE_GETADDRINFO=1")
        print()
        print("Feature list : " + " ".join("+" + name for name in sorted(FEATURES)))
        print()
        print("Default settings :")
        print("  bufsize = 16384, maxrewrite = 1024, maxpollevents = 512")


def facts(localpeer: str = "", *, may_fork: bool = False) -> Facts:
    """What conditions of this program may ask for."""
    import ssl

    env = dict(os.environ)
    env["HAPROXY_STARTUP_VERSION"] = HAPROXY_VERSION
    env["HAPROXY_BRANCH"] = HAPROXY_VERSION.rpartition(".")[0]
    env["HAPROXY_LOCALPEER"] = localpeer or os.uname().nodename
    version = ".".join(str(part) for part in ssl.OPENSSL_VERSION_INFO[:3])
    return Facts(HAPROXY_VERSION, env, FEATURES, ENABLED, "OpenSSL", version, localpeer, may_fork)


def _condition(text: str) -> int:
    from trilb.base.diagnostic import NOWHERE
    from trilb.config.lexer import tokenize

    known = facts()
    try:
        # A comment sign is data here, unlike in a file.
        words = tokenize(text.replace("#", "\\#"), NOWHERE, known.env).words
        return 0 if evaluate(" ".join(words), known) else 1
    except Refused as refused:
        _say(Severity.ALERT, f"config : Failed to evaluate condition: {refused.text}")
        return 2


def _doc(words: list[str]) -> int:
    """`trilb doc ...`: the reference."""
    from trilb import doc
    from trilb.vocabulary import language

    try:
        print(doc.show(language(), words), end="")
    except Refused as refused:
        print(f"trilb doc: {refused.text}", file=sys.stderr)
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run trilb with HAProxy's arguments; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["doc"]:
        return _doc(words[1:])
    try:
        options = parse(words)
    except _Usage:
        _version(1)
        print(USAGE, file=sys.stderr)
        return 1
    except Refused as refused:
        _say(Severity.ALERT, refused.text)
        return 1
    if options.version:
        _version(options.version)
        return 0
    if options.condition is not None and not options.check:
        return _condition(options.condition)
    if options.condition is not None and (code := _condition(options.condition)):
        return code
    if options.directory:
        try:
            os.chdir(options.directory)
        except OSError as error:
            _say(Severity.ALERT, f"Could not change to directory {options.directory} : {error.strerror}")
            return 1
    if not options.files:
        _version(1)
        print(USAGE, file=sys.stderr)
        return 1
    return _run(options)


def read(options: Options) -> tuple[Config, Report]:
    """Read and check the files of `-f`. Raises Refused for a file that cannot be read."""
    from trilb.config import reader, sources
    from trilb.vocabulary import language

    texts = sources.load(options.files)
    if not texts:
        raise _Usage
    config, report = reader.read(texts, language(), facts(options.localpeer, may_fork=options.may_fork))
    if options.only_ipv4:
        for section in config.resolvers.values():
            section.families = "ipv4"
    settings = config.globals
    if options.maxconn:
        settings.maxconn = options.maxconn
    if options.pidfile:
        settings.pidfile = options.pidfile
    return config, report


def _run(options: Options) -> int:
    try:
        config, report = read(options)
    except _Usage:
        _version(1)
        print(USAGE, file=sys.stderr)
        return 1
    except Refused as refused:
        _say(Severity.ALERT, f"config : {refused.text}")
        return 1
    quiet = options.quiet or config.globals.quiet
    if not report.failed:
        _check_names(config, report)
    _load_patterns(config, report)
    if options.check and not report.failed and not config.unserved:
        _build(config, report)
    warnings = _tell(report, quiet)
    if report.failed:
        if not quiet:
            files = sorted({e.place.file for e in report.entries if e.severity is Severity.ALERT and e.place.file})
            for name in files:
                _say(Severity.ALERT, f"config : Error(s) found in configuration file : {name}")
            _say(Severity.ALERT, "config : Fatal errors found in configuration.")
        return 1
    if warnings and (options.strict or config.globals.zero_warning):
        if not quiet:
            _say(Severity.ALERT, "config : Some warnings were found and 'zero-warning' is set. Aborting.")
        return 1
    if not quiet:
        _tell_without_effect(config)
    if not _listens(config):
        print("Configuration file has no error but will not start (no listener) => exit(2).")
        return 2
    if options.check:
        if not quiet:
            for item in config.unserved:
                text = f"'{item.keyword}' is HAProxy's and not served by trilb yet; starting with it will fail"
                _say(Severity.NOTICE, str(Diagnostic(Severity.NOTICE, item.place, text)))
            if warnings:
                print("Warnings were found.")
            print("Configuration file is valid")
        return 0
    return _start(options, config)


def _check_names(config: Config, report: Report) -> None:
    """Server names must resolve at load, unless init-addr allows otherwise."""
    from trilb.base.address import Family, is_service
    from trilb.net.address import initial, resolve

    for proxy in config.proxies:
        if proxy.disabled:
            continue
        for bind in proxy.binds:
            for address in bind.addresses:
                try:
                    if address.family is Family.NAME:
                        resolve(address)
                    elif address.family is Family.FD:
                        os.fstat(int(address.host))
                except Refused as refused:
                    report.alert(bind.place, f"'bind' : {refused.text}")
                except OSError:
                    report.alert(bind.place, f"'bind' : fd@{address.host} is not an open file descriptor")
        for server in proxy.servers:
            if server.address.family is not Family.NAME:
                continue
            try:
                _, found = initial(server.address, server.init_address, resolved_later=bool(server.resolvers))
            except Refused as refused:
                report.alert(server.place, f"'server {proxy.name}/{server.name}' : {refused.text}")
                continue
            methods = server.init_address or ("" if is_service(server.address) else "libc")
            if found is None and "libc" in methods.partition("none")[0]:
                text = f"could not resolve address '{server.address.host}', disabling server"
                report.warn(server.place, f"'server {proxy.name}/{server.name}' : {text}")
        for target in proxy.logs:
            if target.address is not None and target.address.family is Family.NAME:
                try:
                    resolve(target.address)
                except Refused as refused:
                    report.alert(proxy.place, f"'log' : {refused.text}")


def _build(config: Config, report: Report) -> None:
    """What only shows when everything is put together; a start does the same."""
    from trilb.assembly import build
    from trilb.process.sharing import prepare

    try:
        for place, text in build(config).warnings:
            # A remark: zero-warning is about the file, not about the calendar.
            report.note(place, text)
        prepare(config)
    except Refused as refused:
        report.alert(refused.place or NOWHERE, refused.text)


def _load_patterns(config: Config, report: Report) -> None:
    """The files of ACLs and maps, and whether their lines are what their users can read."""
    from trilb.net.address import ipv4
    from trilb.samples.references import load

    config.pattern_store, refused = load(config.patterns, ipv4)
    for use, reason in refused:
        what = f"converter '{use.criterion}'" if use.output else f"ACL on '{use.criterion}'"
        report.alert(use.place, f"{what} : {reason.text}")
    for use in config.patterns:
        if not use.method and use.file not in config.pattern_store.by_name:
            report.warn(use.place, f"'{use.criterion}' has no effect: no ACL and no map is loaded from '{use.file}'")


def _tell(report: Report, quiet: bool) -> int:
    warnings = 0
    for entry in report.entries:
        warnings += entry.severity is Severity.WARNING
        if not quiet:
            _say(entry.severity, str(entry))
    return warnings


def _tell_without_effect(config: Config) -> None:
    if config.without_effect:
        names = ", ".join(f"{name} [{place}]" for name, place in config.without_effect.items())
        _say(Severity.NOTICE, f"config : accepted and without effect in trilb: {names}")


def _listens(config: Config) -> bool:
    if config.globals.stats_sockets or config.peers:
        return True
    return any(p.side & Side.FRONTEND and p.binds and not p.disabled for p in config.proxies)


def _be_master(options: Options, config: Config, foreground: bool) -> int:
    """Master-worker mode: what was read here was only to tell early what is wrong with it."""
    from trilb.admin.cmd_shell import called
    from trilb.config.keywords.sockets import master_socket
    from trilb.config.lines import Bind
    from trilb.net.listen import open_listener
    from trilb.process import master
    from trilb.process.privileges import daemonize

    listener = None
    if options.master_socket:
        line = master_socket(options.master_socket)
        mode = 0o600 if line.mode is None else line.mode
        bind = Bind((line.address,), NOWHERE, mode=mode, uid=line.uid, gid=line.gid)
        listener = line, open_listener(line.address, bind, line.backlog or 10)
        os.environ["HAPROXY_MASTER_CLI"] = called(line)
    background = -1 if foreground else daemonize()
    if not foreground:
        os.environ[master.BACKGROUND] = "1"
    command = [sys.executable, "-m", "trilb", *options.words]
    before = [*options.finish, *options.terminate]
    return master.run(command, config.globals.pidfile, listener, before, background)


def _start(options: Options, config: Config) -> int:
    if config.unserved:
        for item in config.unserved:
            text = f"'{item.keyword}' is HAProxy's and not served by trilb yet"
            _say(Severity.ALERT, str(Diagnostic(Severity.ALERT, item.place, text)))
        _say(Severity.ALERT, "config : Fatal errors found in configuration.")
        return 1
    from trilb.process import worker
    from trilb.process.master import BACKGROUND, READY_FD

    config = replace(config)
    quiet = options.quiet or config.globals.quiet
    foreground = options.foreground or not (config.globals.daemon or options.daemon)
    is_worker = READY_FD in os.environ
    wants_master = options.master or (config.globals.master_worker and not options.foreground)
    try:
        if wants_master and not is_worker:
            return _be_master(options, config, foreground)
        start = worker.Start(
            foreground or is_worker,
            tuple(options.finish),
            tuple(options.terminate),
            options.listeners_from,
            options.notifies,
            lambda place, text: _say(Severity.NOTICE, str(Diagnostic(Severity.NOTICE, place, text))),
            lambda text: None if quiet else _say(Severity.WARNING, f"config : {text}"),
            _said,
            # Nobody sits before a process in the background, though its terminal may still be open.
            quiet or not foreground or (is_worker and BACKGROUND in os.environ),
        )
        worker.run(config, start)
    except Refused as refused:
        place = f"[{refused.place}] : " if refused.place is not None else ""
        _say(Severity.ALERT, f"{place}{refused.text}")
        _say(Severity.ALERT, "[trilb.main()] Some protocols failed to start their listeners! Exiting.")
        return 1
    return 0
