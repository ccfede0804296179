"""An answered DynamoDB write is durable, as on AWS: MiniStack saves its state only when it stops, and S3 objects would outlive their pointers."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from local.seams import pinned

_PAUSES_PER_SAVE = 30
_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem", "CreateTable")


class DurableSeam:
    """Saves the tables' state before a write is answered."""

    def __init__(self) -> None:
        self._app = pinned.module("app")
        self._handlers = pinned.mapping(self._app, "SERVICE_HANDLERS")
        self._dynamodb = pinned.functions("services.dynamodb", {"get_state": ()})
        self._persistence = pinned.functions("core.persistence", {"save_state": ("service", "data")})
        self._saves = threading.Lock()

    def install(self) -> None:
        answer = self._handlers["dynamodb"]

        async def saved(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
            answered = await answer(method, path, headers, body, query)
            if answered[0] == 200 and headers.get("x-amz-target", "").rpartition(".")[2] in _WRITES:
                await asyncio.to_thread(self._save)
            return answered

        self._handlers["dynamodb"] = saved

    def check(self) -> None:
        pinned.expect("core.persistence.PERSIST_STATE", self._persistence.PERSIST_STATE, True)
        pinned.expect("services.dynamodb.get_state", "tables" in self._dynamodb.get_state(), True)

    def _save(self) -> None:
        with self._saves:
            self._persistence.save_state("dynamodb", self._dynamodb.get_state())


class Saver:
    """Calls `save` every few seconds while there is something new, until stopped; a save that takes long is followed by a longer pause."""

    def __init__(self, save: Callable[[], None], *, every_s: float = 3.0) -> None:
        self._save = save
        self._every_s = every_s
        self._stop = threading.Event()
        self.dirty = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="saver")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        pause_s = self._every_s
        while not self._stop.wait(pause_s):
            if self.dirty.is_set():
                self.dirty.clear()
                began = time.monotonic()
                self._save()
                pause_s = max(self._every_s, _PAUSES_PER_SAVE * (time.monotonic() - began))
