"""Giving up what is no longer needed: chroot, group, user; going to the background; the pid file."""

from __future__ import annotations

import os

from trilb.base import proc
from trilb.base.diagnostic import Refused
from trilb.config.keywords.sockets import lookup_id
from trilb.config.settings import Global


def prepare(settings: Global) -> tuple[int | None, int | None]:
    """The user and group numbers to become, looked up while names can still be. Raises Refused."""
    uid = lookup_id("user", settings.user) if settings.user else settings.uid
    gid = lookup_id("group", settings.group) if settings.group else settings.gid
    return uid, gid


def drop(settings: Global, uid: int | None, gid: int | None) -> None:
    """Lock into the chroot and become the user. Raises Refused when that fails; nothing runs half dropped."""
    try:
        if settings.chroot:
            proc.hold()
            os.chroot(settings.chroot)
            os.chdir("/")
        if gid is not None:
            if os.geteuid() == 0:
                os.setgroups([])
            os.setgid(gid)
        if uid is not None:
            os.setuid(uid)
    except OSError as error:
        what = "chroot" if settings.chroot and not os.path.isdir(settings.chroot) else "drop privileges"
        raise Refused(f"cannot {what} : {error.strerror}") from None


def daemonize() -> int:
    """Go to the background: the caller returns in a new session with a descriptor to say by that it serves (`detach`).

    The starting process waits for that, and exits 0, or 1 when this one ends before.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    return writing


def detach(line: int, null: int = -1) -> None:
    """Tell whoever started this process that it serves, and let go of its terminal.

    `null` is /dev/null, opened before a chroot; without it it is opened now.
    """
    os.write(line, b"1")
    os.close(line)
    let_go(null if null >= 0 else os.open(os.devnull, os.O_RDWR))


def let_go(null: int) -> None:
    """Put /dev/null where the terminal was."""
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def write_pidfile(path: str) -> None:
    """Write the process's id. Raises Refused."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise Refused(f"cannot create pidfile {path} : {error.strerror}") from None
