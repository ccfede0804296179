"""Lambda functions work under a role that trusts Lambda, report an exception by its class, as AWS does, and leave a log file per function."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.seams import pinned
from local.seams.roles import RoleSeam

_CLASS = re.compile(r"^([A-Za-z_][\w.]*)(:|$)")


class LambdaSeam:
    """Wraps the one function that every invocation passes through."""

    def __init__(self, logs: Path, roles: RoleSeam) -> None:
        self._logs, self._roles = logs, roles
        self._lambda = pinned.functions("services.lambda_svc", {"_execute_function_dispatch": ("func", "config", "event", "request_id", "started")})

    def install(self) -> None:
        dispatch = self._lambda._execute_function_dispatch

        def named(func: Any, config: Any, event: Any, request_id: str, started: float) -> Any:
            distrust = self._roles.distrust(config["Role"], "lambda.amazonaws.com", source=config["FunctionArn"])
            if distrust is not None:
                return {"error": True, "body": {"errorType": "AccessDeniedException", "errorMessage": distrust}, "log": distrust}
            result = dispatch(func, config, event, request_id, started)
            if isinstance(result, dict):
                self._write_log(str(config.get("FunctionName", "unknown")), request_id, str(result.get("log", "")))
                name_error(result)
            return result

        self._lambda._execute_function_dispatch = named

    def check(self) -> None:
        """The shape that errors have."""
        answer = {
            "error": True,
            "body": {"errorType": "Runtime.HandlerError"},
            "log": "Traceback (most recent call last):\n  …\na.b.LockHeld: by run 1",
        }
        name_error(answer)
        pinned.expect("the Lambda seam's error name", answer["body"], {"errorType": "LockHeld"})

    def _write_log(self, function: str, request_id: str, text: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        with (self._logs / f"{function}.log").open("a", encoding="utf-8") as log:
            log.write(f"--- {stamp} {request_id}\n{text.rstrip()}\n")


def name_error(result: dict[str, Any]) -> None:
    """Put the exception's class name into `errorType`, from the traceback in the log. Time-outs and start-up errors keep theirs."""
    body = result.get("body")
    if not result.get("error") or not isinstance(body, dict) or body.get("errorType") != "Runtime.HandlerError":
        return
    for line in reversed(str(result.get("log", "")).splitlines()):
        found = _CLASS.match(line)
        if found:
            body["errorType"] = found.group(1).rsplit(".", 1)[-1]
            return
