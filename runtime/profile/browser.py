"""Headless Chromium through its debugging pipe: opens a file, hears the page complain, acts.

The protocol is JSON messages with a zero byte between them, commands on file descriptor 3, answers
and events on 4: no network and no port.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

_QUIET = (
    "--no-sandbox",  # tests run in Bazel's own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a page that asks for anything fails
    "--window-size=1300,1000",
    "--remote-debugging-pipe",
)


class Page:
    """One open page. `complaints`: console errors and warnings, exceptions, requests that are not
    the file itself."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._held = b""
        self._session: str | None = None
        self._loaded = False
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, path: pathlib.Path) -> None:
        """Opens a file and waits until it has loaded."""
        self._loaded = False
        self._file = path.absolute().as_uri()
        self._call("Page.navigate", url=self._file)
        while not self._loaded:
            self._event(self._receive())

    def value(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """What an expression gives; promises are awaited. Raises AssertionError if it throws."""
        result = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        """mouseMoved, mousePressed, mouseReleased or mouseWheel at a place of the window."""
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._held += more
        text, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _event(self, message: dict[str, Any]) -> None:
        method, what = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = what["request"]["url"]
            if url != self._file and not url.startswith(("blob:", "data:")):
                self.complaints.append(f"asks for {url}")


@contextlib.contextmanager
def browser(root: pathlib.Path, home: pathlib.Path) -> Iterator[Page]:
    """A page of a browser that lives as long as the context.

    Args:
      root: where @chromium's packages were unpacked.
      home: a folder for what it writes.
    """
    library = root / "usr/lib"
    libraries = (library / "x86_64-linux-gnu", library / "x86_64-linux-gnu/pulseaudio")
    commands_out, commands = os.pipe()
    answers, answers_in = os.pipe()
    command = [library / "chromium/chromium-headless-shell", *_QUIET, f"--user-data-dir={home}"]
    with open(home / "browser.log", "wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands_out} 4>&{answers_in}', "-", *command],
            pass_fds=(commands_out, answers_in),
            env={
                "HOME": str(home),
                "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
                "PATH": "/usr/bin:/bin",
                "FONTCONFIG_PATH": str(root / "etc/fonts"),
            },
            stdout=log,
            stderr=log,
        )
        os.close(commands_out)
        os.close(answers_in)
        try:
            yield Page(commands, answers)
        finally:
            os.close(commands)
            process.kill()
            process.wait()
            os.close(answers)
