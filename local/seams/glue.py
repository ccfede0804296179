"""Glue job runs that really run: MiniStack answers SUCCEEDED without running anything. States, limits and messages as Glue has them."""

import contextvars
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from local.errors import LaptopError
from local.launcher import JobFailed, JobRun, JobTimedOut
from local.seams import pinned
from local.seams.roles import RoleSeam

LIVE = ("STARTING", "RUNNING", "STOPPING")
_Answer = tuple[int, dict[str, str], bytes]
_SPARK_JOBS = ("glueetl", "gluestreaming")


class Running(Protocol):
    """A launched run: `wait` until it ended well, or raise JobFailed or JobTimedOut; `kill` ends it at once."""

    def wait(self) -> None: ...

    def kill(self) -> None: ...


class Launches(Protocol):
    """What starts a run's process. Raises LaptopError when it cannot."""

    def launch(self, run: JobRun) -> Running: ...


class GlueSeam:
    """Replaces StartJobRun, BatchStopJobRun and GetJobRuns, and keeps ExecutionProperty, which CloudFormation's Glue job loses."""

    def __init__(self, launcher: Launches, roles: RoleSeam) -> None:
        self._launcher = launcher
        self._roles = roles
        self._processes: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._glue = pinned.functions(
            "services.glue",
            {
                "_start_job_run": ("data",),
                "_batch_stop_job_run": ("data",),
                "_get_job_runs": ("data",),
                "_create_job": ("data",),
                "_update_job": ("data",),
                "_script_args": ("job", "job_name", "run_id", "run_arguments"),
                "_handle_request_sync": ("method", "path", "headers", "body", "query_params"),
                "load_persisted_state": ("data",),
                "_arn": ("resource_type", "name"),
            },
        )
        self._answers = pinned.module("core.responses")
        self._provisioners = pinned.functions("services.cloudformation.provisioners", {"_glue_job_fields": ("props",)})
        for name in ("_jobs", "_job_runs"):
            pinned.mapping(self._glue, name)

    def install(self) -> None:
        create, update, fields, load = (
            self._glue._create_job,
            self._glue._update_job,
            self._provisioners._glue_job_fields,
            self._glue.load_persisted_state,
        )

        def keeping(make: Any, name: str, body: str | None) -> Any:
            def kept(data: dict[str, Any]) -> _Answer:
                answer: _Answer = make(data)
                job = self._glue._jobs.get(data.get(name))
                settings = data if body is None else data.get(body, {})
                if job is not None and "ExecutionProperty" in settings:
                    job["ExecutionProperty"] = settings["ExecutionProperty"]
                return answer

            return kept

        def all_fields(props: dict[str, Any]) -> dict[str, Any]:
            known: dict[str, Any] = fields(props)
            return {**known, **{key: props[key] for key in ("ExecutionProperty",) if key in props}}

        def load_and_end(data: dict[str, Any]) -> None:
            load(data)
            self._end_lost_runs()

        self._glue._create_job = keeping(create, "Name", None)
        self._glue._update_job = keeping(update, "JobName", "JobUpdate")
        self._provisioners._glue_job_fields = all_fields
        self._glue.load_persisted_state = load_and_end
        self._glue._start_job_run = self._start
        self._glue._batch_stop_job_run = self._stop
        self._glue._get_job_runs = self._list

    def check(self) -> None:
        """StartJobRun through MiniStack's own dispatch reaches this seam."""
        body = json.dumps({"JobName": "seam-check"}).encode()
        answer = self._glue._handle_request_sync("POST", "/", {"x-amz-target": "AWSGlue.StartJobRun"}, body, {})
        pinned.expect("services.glue StartJobRun of an unknown job", (answer[0], b"EntityNotFoundException" in answer[2]), (400, True))
        pinned.expect("services.glue._start_job_run in the dispatch", self._glue._start_job_run.__self__ is self, True)

    def live_processes(self) -> tuple[str, ...]:
        """Ids of the runs that have a process now."""
        return tuple(self._processes)

    def kill_all(self) -> tuple[str, ...]:
        """SIGKILL every job's process: what a lost node does. Their ids."""
        with self._lock:
            doomed = dict(self._processes)
        for running in doomed.values():
            running.kill()
        return tuple(doomed)

    def stop_run(self, run: dict[str, Any]) -> None:
        """End a run as BatchStopJobRun does: STOPPING, its processes killed, STOPPED."""
        with self._lock:
            if run["JobRunState"] not in LIVE:
                return
            run["JobRunState"] = "STOPPING"
            running = self._processes.get(run["Id"])
        if running is not None:
            running.kill()

    def _start(self, data: dict[str, Any]) -> _Answer:
        name = data.get("JobName")
        job = self._glue._jobs.get(name)
        if job is None:
            return self._refuse("EntityNotFoundException", f"Job {name} not found")
        allowed = int(job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1))
        with self._lock:
            runs = self._glue._job_runs.setdefault(name, [])
            if sum(run["JobRunState"] in LIVE for run in runs) >= allowed:
                return self._refuse("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}: MaxConcurrentRuns is {allowed}")
            run = self._record(job, data)
            runs.append(run)
        arguments = self._glue._script_args(job, name, run["Id"], data.get("Arguments", {}))
        # A thread does not inherit the request's account and region.
        carried = contextvars.copy_context()
        threading.Thread(target=carried.run, args=(self._execute, run, job, arguments), daemon=True, name=f"glue-{name}").start()
        answer: _Answer = self._answers.json_response({"JobRunId": run["Id"]})
        return answer

    def _record(self, job: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        now = round(time.time(), 3)
        return {
            "Id": "jr_" + str(self._answers.new_uuid()).replace("-", ""),
            "Attempt": 0,
            "JobName": job["Name"],
            "StartedOn": now,
            "LastModifiedOn": now,
            "CompletedOn": None,
            "JobRunState": "STARTING",
            "Arguments": dict(data.get("Arguments", {})),
            "ErrorMessage": "",
            "PredecessorRuns": [],
            "AllocatedCapacity": data.get("NumberOfWorkers") or job.get("NumberOfWorkers", 2),
            "ExecutionTime": 0,
            "Timeout": int(data.get("Timeout") or job.get("Timeout", 2880)),
            "WorkerType": data.get("WorkerType") or job.get("WorkerType", "G.1X"),
            "NumberOfWorkers": data.get("NumberOfWorkers") or job.get("NumberOfWorkers", 2),
            "SecurityConfiguration": job.get("SecurityConfiguration", ""),
            "GlueVersion": job.get("GlueVersion", ""),
            "LogGroupName": "/aws-glue/jobs",
        }

    def _execute(self, run: dict[str, Any], job: Mapping[str, Any], arguments: Mapping[str, str]) -> None:
        try:
            self._run(run, job, arguments)
        except JobTimedOut as late:
            self._complete(run, "TIMEOUT", str(late))
        except (LaptopError, OSError) as failed:
            self._complete(run, "FAILED", str(failed) if isinstance(failed, JobFailed) else f"{type(failed).__name__}: {failed}")
        else:
            self._complete(run, "SUCCEEDED", "")
        finally:
            if run["JobRunState"] in LIVE:
                self._complete(run, "FAILED", "the launcher ended unexpectedly; see logs/laptop.log")

    def _run(self, run: dict[str, Any], job: Mapping[str, Any], arguments: Mapping[str, str]) -> None:
        command = job.get("Command", {})
        if command.get("Name") not in _SPARK_JOBS:
            raise LaptopError(f"{job['Name']}: Command.Name is {command.get('Name')!r}; the laptop runs {', '.join(_SPARK_JOBS)}")
        launched = JobRun(
            job=job["Name"],
            run_id=run["Id"],
            keys=self._roles.session(job["Role"], "glue.amazonaws.com", source=self._glue._arn("job", job["Name"]), lasts_s=run["Timeout"] * 60),
            script=command.get("ScriptLocation", ""),
            arguments={name: str(value) for name, value in arguments.items()},
            timeout_s=run["Timeout"] * 60,
        )
        running = self._launcher.launch(launched)
        with self._lock:
            self._processes[run["Id"]] = running
            stopped_early = run["JobRunState"] == "STOPPING"
            if not stopped_early:
                run["JobRunState"] = "RUNNING"
        if stopped_early:
            running.kill()
        try:
            running.wait()
        finally:
            del self._processes[run["Id"]]

    def _complete(self, run: dict[str, Any], state: str, message: str) -> None:
        with self._lock:
            now = round(time.time(), 3)
            stopped = run["JobRunState"] == "STOPPING"
            run.update(ErrorMessage="" if stopped else message, CompletedOn=now, LastModifiedOn=now, ExecutionTime=round(now - run["StartedOn"]))
            run["JobRunState"] = "STOPPED" if stopped else state

    def _stop(self, data: dict[str, Any]) -> _Answer:
        name, done, errors = data.get("JobName"), [], []
        runs = {run["Id"]: run for run in self._glue._job_runs.get(name, [])}
        for run_id in data.get("JobRunIds", []):
            run = runs.get(run_id)
            if run is not None and run["JobRunState"] in LIVE:
                self.stop_run(run)
                done.append({"JobName": name, "JobRunId": run_id})
            else:
                code = "JobRunNotFoundException" if run is None else "JobRunNotInTerminalStateException"
                errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": {"ErrorCode": code, "ErrorMessage": f"{run_id} is not running"}})
        answer: _Answer = self._answers.json_response({"SuccessfulSubmissions": done, "Errors": errors})
        return answer

    def _list(self, data: dict[str, Any]) -> _Answer:
        """Newest first, in pages, as Glue does."""
        name = data.get("JobName")
        if name not in self._glue._jobs:
            return self._refuse("EntityNotFoundException", f"Job {name} not found")
        newest = list(reversed(self._glue._job_runs.get(name, [])))
        start, size = int(data.get("NextToken") or 0), min(int(data.get("MaxResults") or 200), 200)
        page: dict[str, Any] = {"JobRuns": newest[start : start + size]}
        if start + size < len(newest):
            page["NextToken"] = str(start + size)
        answer: _Answer = self._answers.json_response(page)
        return answer

    def _end_lost_runs(self) -> None:
        """Runs that a former laptop left running have no process any more."""
        for runs in self._glue._job_runs.all_values():
            for run in runs:
                if run["JobRunState"] in LIVE:
                    self._complete(run, "FAILED", "the laptop went down while this job was running")

    def _refuse(self, code: str, message: str) -> _Answer:
        answer: _Answer = self._answers.error_response_json(code, message, 400)
        return answer
