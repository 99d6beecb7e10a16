"""A headless Chromium, driven over its DevTools protocol.

The protocol goes through two pipes (`--remote-debugging-pipe`: descriptors 3 and 4, messages end with a NUL), so there
is no port that somebody else could connect to, and neither a driver program nor a websocket library to install.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --disable-extensions --disable-breakpad "
    "--disable-domain-reliability --disable-client-side-phishing-detection --disable-dev-shm-usage --no-pings "
    "--disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider --metrics-recording-only "
    "--no-proxy-server --remote-debugging-pipe"
).split()
"""It runs as root in tests."""
_ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


class Browser:
    """A started Chromium with one profile of its own."""

    def __init__(self) -> None:
        """Start it."""
        self.dir = Path(tempfile.mkdtemp(prefix="trilb-chromium-"))
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [CHROMIUM or "chromium", *_FLAGS, _ONLY_HERE, f"--user-data-dir={self.dir}", "about:blank"]
        # The shell puts the pipes where Chromium looks for them; in two steps, as they may stand in each other's way.
        script = f'exec 13<&{to_read} 14>&{to_write}; exec "$@" 3<&13 4>&14 13<&- 14>&-'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_read, to_write),
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Return the browser itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Stop it with all its processes."""
        os.close(self._write)
        os.close(self._read)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; raise AssertionError with what Chromium says against it."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(raw)
        return found

    def page(self, url: str, *, width: int = 1600, height: int = 900, dark: bool = False, script: bool = True) -> Page:
        """Open a page and wait until it is loaded; without `script`, as with JavaScript switched off."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        made = Page(self, session, context)
        made.call("Page.enable")
        made.call("Runtime.enable")
        made.call("Log.enable")
        made.call("Network.enable")
        made.size(width, height)
        scheme = "dark" if dark else "light"
        made.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        if not script:
            made.call("Emulation.setScriptExecutionDisabled", value=True)
        made.go(url)
        return made


class Page:
    """A page of a browser, in a context without cookies or storage of others."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser = browser
        self.session = session
        self.context = context

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol on this page."""
        return self.browser.call(method, self.session, **params)

    def close(self) -> None:
        """Close it with its context."""
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def size(self, width: int, height: int) -> None:
        """Set the window's size; narrow ones are phones."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def go(self, url: str) -> None:
        """Load a page and wait for it."""
        found = self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, code: str) -> Any:
        """Evaluate an expression, awaiting promises; its value as JSON has it."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in found, (code, found["exceptionDetails"])
        return found["result"].get("value")

    def until(self, code: str, timeout: float = 20.0) -> Any:
        """Evaluate it until it is true."""
        return self._until(lambda: self.run(code), code, timeout)

    def _until(self, look: Callable[[], Any], what: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            try:
                if found := look():
                    return found
            except AssertionError as error:
                # In the moment of going from one page to the next there is nothing to ask.
                if "context" not in str(error) and "navigated" not in str(error):
                    raise
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click on the middle of an element with the mouse, as a person does."""
        code = """(() => {
            const found = document.querySelector(%s);
            found.scrollIntoView({block: 'center'});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()"""
        place = self.run(code % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def keys(self, text: str) -> None:
        """Type into what has the focus."""
        for sign in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=sign, key=sign)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=sign)

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def complaints(self) -> list[str]:
        """What the browser said against this page so far: errors of the script, what its policy forbids."""
        self.run("1")
        found = []
        for event in self.browser.events:
            if event.get("sessionId") == self.session:
                if event["method"] == "Log.entryAdded":
                    found.append(str(event["params"]["entry"]["text"]))
                elif event["method"] == "Runtime.exceptionThrown":
                    found.append(str(event["params"]["exceptionDetails"]))
        return found
