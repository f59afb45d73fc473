"""A headless Chromium, driven by its DevTools protocol through a pipe: no package is needed beside the browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page at a time, in a window of a given width, light or dark, on screen or on paper."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        out, ours = os.pipe()
        self._read, theirs = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe"
        # Bash, since other shells know descriptors of one digit only.
        command = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{out} 4>&{theirs}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, str(folder)], pass_fds=(out, theirs), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(out), os.close(theirs)
        self._write, self._rest, self._number, self._session = ours, b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            *whole, self._rest = self._rest.split(b"\0")
            yield from map(json.loads, whole)
            if not (more := os.read(self._read, 2**20)):
                raise RuntimeError("the browser has ended")
            self._rest += more

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """What a command of the protocol returns; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        for answer in self._messages():
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)
        raise AssertionError

    def run(self, script: str) -> Any:
        """The value of an expression in the page; of a promise, what it resolves to."""
        result = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", "exception"))
        return result["result"].get("value")

    def show(self, url: str, *, width: int, dark: bool = False, paper: bool = False) -> None:
        """Load a page and wait until it is complete."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])
        self.events.clear()
        self("Page.navigate", url=url)
        end = time.monotonic() + 120
        while self.run("location.href") == "about:blank" or self.run("document.readyState") != "complete":
            assert time.monotonic() < end, f"{url} does not load"
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """Errors of the console, exceptions, and requests to anything but files."""
        said = []
        for event in self.events:
            params = event.get("params", {})
            match event.get("method"):
                case "Runtime.exceptionThrown":
                    said.append(f"exception: {params['exceptionDetails']['text']}")
                case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                    said.append(f"console: {params['args'][0].get('value')}")
                case "Log.entryAdded" if params["entry"]["level"] == "error":
                    said.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
                case "Network.requestWillBeSent" if not params["request"]["url"].startswith(("file:", "data:")):
                    said.append(f"request: {params['request']['url']}")
        return said

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read), os.close(self._write)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder."""
    one = Browser(folder)
    try:
        yield one
    finally:
        one.close()
