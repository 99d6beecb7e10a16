"""How the cost of a request grows with rules: many ACLs, or one ACL or map of many lines. See README.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.programs import cpu_seconds, free_port, start, wait_for

SECONDS = 2
CONNECTIONS = 32
HEAD = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind 127.0.0.1:{port}
"""
TAIL = "    http-request return status 200\n"


def rules(count: int) -> str:
    """Rules whose conditions all look at the path, and do not hold."""
    return "".join(f"    http-request set-header x-{n} y if {{ path_beg /nothing/{n}/ }}\n" for n in range(count))


def pattern(method: str, n: int) -> str:
    """The n-th pattern, which matches no request of the benchmark."""
    if method == "ip":
        return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    return f"^/nothing/{n}/[a-z]+$" if method == "reg" else f"/nothing/{n}/"


def acl(folder: Path, method: str, count: int) -> str:
    """One condition over that many patterns in a file."""
    name = folder / f"{method}-{count}.lst"
    name.write_text("".join(pattern(method, n) + "\n" for n in range(count)))
    fetch = "src" if method == "ip" else "path"
    return f"    http-request deny if {{ {fetch} -m {method} -f {name} }}\n"


def mapped(folder: Path, converter: str, count: int) -> str:
    """One look-up in a map of that many lines."""
    name = folder / f"{converter}-{count}.map"
    method = "ip" if converter == "map_ip" else "str"
    name.write_text("".join(f"{pattern(method, n)} value{n}\n" for n in range(count)))
    fetch = "src" if converter == "map_ip" else "path"
    return f"    http-request set-var(txn.m) {fetch},{converter}({name},none)\n"


def measure(command: list[str], text: str, folder: Path) -> tuple[float, float]:
    """Requests a second, and microseconds of CPU a request."""
    port = free_port()
    file = folder / "rules.cfg"
    file.write_text(HEAD.format(port=port) + text + TAIL)
    with ExitStack() as stack:
        program = start(stack, [*command, "-f", str(file)])
        wait_for(port)
        before = cpu_seconds(program.pid)
        out = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/some/path/index.html"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        used = cpu_seconds(program.pid) - before
    rate, total = re.search(r"Requests/sec:\s+([\d.]+)", out), re.search(r"(\d+) requests in", out)
    if rate is None or total is None or "Non-2xx" in out:
        raise SystemExit(f"wrk failed:\n{out}")
    return float(rate[1]), used * 1e6 / max(1, int(total[1]))


def main() -> int:
    """Print one line a case: both programs, and what the case adds to a request without rules."""
    with tempfile.TemporaryDirectory(prefix="trilb-rules-") as name:
        folder = Path(name)
        cases = [
            ("no rule", ""),
            *((f"{n} rules", rules(n)) for n in (10, 100, 1000)),
            *((f"-m {m} of {n}", acl(folder, m, n)) for m in ("str", "beg", "ip") for n in (10, 1000, 100_000)),
            *((f"-m reg of {n}", acl(folder, "reg", n)) for n in (10, 100)),
            *((f"{c} of {n}", mapped(folder, c, n)) for c in ("map_str", "map_beg", "map_ip") for n in (10, 100_000)),
        ]
        base: dict[str, float] = {}
        for what, text in cases:
            line = f"{what:20}"
            rates: dict[str, float] = {}
            for program, command in (("haproxy", ["haproxy", "-db"]), ("trilb", [sys.executable, "-m", "trilb", "-d"])):
                rates[program], cost = measure(command, text, folder)
                base.setdefault(program, cost)
                line += f" {program} {cost:7.1f} us ({cost - base[program]:+8.1f})  "
            print(f"{line} ratio {rates['trilb'] / rates['haproxy']:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
