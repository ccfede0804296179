"""The laptop's own requests (`/_laptop/…`) and holds: a request that matches waits until it is released, so that a test can act in between."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Command = Callable[[MutableMapping[str, Any]], Any]

PREFIX = "/_laptop/"


@dataclass(slots=True, kw_only=True)
class Hold:
    """Requests of one method whose path matches wait here. The first `after` matches pass; a released hold lets everything through."""

    method: str
    path: re.Pattern[str]
    after: int
    waiting: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Requests:
    """An ASGI application around MiniStack's."""

    def __init__(self, app: App, commands: MutableMapping[str, Command], *, changed: Callable[[], None]) -> None:
        self._app = app
        self._changed = changed
        self._commands = {**commands, "hold": self._hold, "held": self._held, "release": self._release}
        self._holds: dict[str, Hold] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._command(scope["path"].removeprefix(PREFIX), receive, send)
            return
        if scope["type"] == "http":
            await self._wait(scope["method"], scope["path"])
            # Buckets and topics refuse what comes without TLS; here it never leaves the machine.
            scope["headers"] = [*scope["headers"], (b"x-forwarded-proto", b"https")]
        await self._app(scope, receive, send)
        if scope.get("method") not in ("GET", "HEAD"):
            self._changed()

    async def _wait(self, method: str, path: str) -> None:
        for hold in list(self._holds.values()):
            if hold.method == method and not hold.released.is_set() and hold.path.search(path):
                if hold.after:
                    hold.after -= 1
                    continue
                hold.waiting += 1
                await hold.released.wait()

    async def _command(self, name: str, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        command = self._commands.get(name)
        if command is None:
            status, answer = 404, {"error": f"no such request: {name}"}
        else:
            values = json.loads(body or b"{}")
            found = command(values) if name in ("hold", "held", "release") else await asyncio.to_thread(command, values)
            status, answer = 200, found
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _hold(self, values: MutableMapping[str, Any]) -> Any:
        self._holds[values["name"]] = Hold(method=values["method"], path=re.compile(values["path"]), after=int(values.get("after", 0)))
        return {}

    def _held(self, values: MutableMapping[str, Any]) -> Any:
        hold = self._holds.get(values["name"])
        return {"waiting": hold.waiting if hold else 0}

    def _release(self, values: MutableMapping[str, Any]) -> Any:
        hold = self._holds.pop(values["name"], None)
        if hold is not None:
            hold.released.set()
        return {}
