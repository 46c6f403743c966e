"""A wandb server on loopback: enough GraphQL and file streams for runs of wandb 0.31, and for asking after them.

    with WandbServer() as server:
        ... a process with server.environment ...
    server.runs["entity/project/id"].history

It checks what is sent; what the real server makes of it, it does not know.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "5ecre7" * 6 + "5ecr"
ENTITY = "the-team"


@dataclass
class Run:
    """What the server knows of a run."""

    entity: str
    project: str
    id: str
    group: str | None = None
    job_type: str | None = None
    name: str | None = None
    notes: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    sweep: str | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The rows of the history that are of an epoch."""
        return [row for row in self.history if "epoch" in row]

    @property
    def bucket(self) -> dict[str, Any]:
        """The run as GraphQL has it."""
        identity = base64.b64encode(f"Run:v1:{self.id}:{self.project}:{self.entity}".encode()).decode()
        return {
            "id": identity,
            "name": self.id,
            "displayName": self.name or self.id,
            "description": self.notes,
            "notes": self.notes,
            "group": self.group,
            "jobType": self.job_type,
            "tags": self.tags,
            "state": self.state,
            "config": json.dumps({key: {"value": value} for key, value in self.config.items()}),
            "summaryMetrics": json.dumps(self.summary),
            "sweepName": self.sweep,
            "commit": None,
            "readOnly": False,
            "historyLineCount": len(self.history),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in self.history[-1:]]),
            "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": 1}),
            "createdAt": "2026-01-01T00:00:00",
            "heartbeatAt": "2026-01-01T00:00:00",
            "systemMetrics": "{}",
            "historyKeys": {"keys": {}, "lastStep": len(self.history)},
            "user": {"name": ENTITY, "username": ENTITY},
            "projectId": "1",
            "runInfo": None,
            "defaultColorIndex": 0,
            "project": {"id": "UHJvamVjdA==", "name": self.project, "entity": {"id": "RW50", "name": self.entity}},
        }


@dataclass
class Sweep:
    """A sweep: its config (YAML), and the trials it asks agents for, each a run's id with its parameters."""

    config: str
    trials: list[tuple[str, dict[str, Any]]]


class WandbServer:
    """Serves while the context is open.

    `fail` is the HTTP status it then answers everything with, 0 for none; `delay` is in seconds, for each answer.
    With `stuck` no manifest of an artifact is taken, again and again. `breaks_at` is the number of rows of a run's
    history after which it fails with 503, in the midst of a request.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.requests: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.sweeps: dict[str, Sweep] = {}
        self.artifacts: list[tuple[str, str]] = []  # type and name of each
        self.files: dict[str, bytes] = {}  # by the path that they were put to
        self.filters: list[Any] = []  # of the questions after runs
        self.fail = 0
        self.delay = 0.0
        self.stuck = False
        self.breaks_at: int | None = None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.wandb = self  # type: ignore[attr-defined]
        self.environment = {
            "WANDB_BASE_URL": f"http://127.0.0.1:{self._http.server_address[1]}",
            "WANDB_API_KEY": API_KEY,
        }

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._http.shutdown()
        self._http.server_close()

    def run(self, entity: str | None, project: str | None, name: str) -> Run:
        """The run of these names, made if it is new."""
        names = (entity or ENTITY, project or "uncategorized", name)
        return self.runs.setdefault("/".join(names), Run(*names))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that was killed
            super().handle()

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        path, content = self.path.partition("?")[0], self._body()
        if self.server.wandb.stuck and path.endswith("/manifest"):
            self._answer({"errors": [{"message": "planted"}]}, 503)
            return
        self.server.wandb.files[path] = content
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        server: WandbServer = self.server.wandb
        path = self.path.partition("?")[0]
        server.requests[path] += 1
        time.sleep(server.delay)
        if server.fail:
            self._answer({"errors": [{"message": "planted"}]}, server.fail)
        elif path == "/graphql":
            self._graphql(json.loads(body))
        elif path.endswith("/file_stream"):
            _, _, entity, project, name, _ = path.split("/")
            run, content = server.run(entity, project, name), json.loads(body)
            if server.breaks_at is not None and "wandb-history.jsonl" in (content.get("files") or {}):
                _stream(run, {"files": {"wandb-history.jsonl": content["files"]["wandb-history.jsonl"]}})
                del run.history[server.breaks_at :]
                server.fail = 503
                self._answer({"errors": [{"message": "planted"}]}, server.fail)
            else:
                _stream(run, content)
                self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({})

    def _graphql(self, request: dict[str, Any]) -> None:
        server: WandbServer = self.server.wandb
        named = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        operation = request.get("operationName") or (named[1] if named else "anonymous")
        server.requests[operation] += 1
        answer = _OPERATIONS.get(operation)
        if answer is None:
            server.unknown.append(operation)
            self._answer({"data": None, "errors": [{"message": f"{operation} is not served here"}]})
        else:
            variables = (request.get("variables") or {}) | {"host": self.headers["Host"]}
            self._answer({"data": answer(server, variables)})

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        unpack: Any = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(
            self.headers.get("Content-Encoding", ""), bytes
        )
        unpacked: bytes = unpack(body)
        return unpacked


def _stream(run: Run, content: dict[str, Any]) -> None:
    for name, part in (content.get("files") or {}).items():
        if name == "wandb-history.jsonl":
            run.history[part.get("offset", 0) :] = [json.loads(line) for line in part["content"]]
        elif name == "wandb-summary.json":
            run.summary = json.loads(part["content"][-1])
    if content.get("complete"):
        run.state = "finished" if content.get("exitcode") == 0 else "failed"


def _viewer(server: WandbServer, variables: dict[str, Any]) -> Any:
    teams = {"edges": [{"node": {"name": ENTITY}}]}
    viewer = {"id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": None, "admin": False}
    return {"viewer": viewer | {"flags": "{}", "teams": teams}}


def _known(server: WandbServer, variables: dict[str, Any]) -> Run | None:
    name = variables.get("name") or variables.get("run")
    return server.runs.get(f"{variables.get('entity') or ENTITY}/{variables.get('project')}/{name}")


def _resume_status(server: WandbServer, variables: dict[str, Any]) -> Any:
    run = _known(server, variables)
    entity = {"id": "RW50", "name": variables.get("entity") or ENTITY}
    model = {"id": "m", "name": variables.get("project"), "entity": entity, "bucket": run.bucket if run else None}
    return {"model": model}


def _upsert(server: WandbServer, variables: dict[str, Any]) -> Any:
    if variables.get("name") is None and variables.get("id"):
        _, _, name, project, entity = base64.b64decode(variables["id"]).decode().split(":")
    else:
        name, project, entity = variables["name"], variables["project"], variables.get("entity") or ENTITY
    before = len(server.runs)
    run = server.run(entity, project, name)
    run.state = "running" if run.state != "finished" else run.state
    run.sweep = variables.get("sweep") or run.sweep
    if variables.get("config"):
        run.config = {key: value["value"] for key, value in json.loads(variables["config"]).items()}
    fields = {"groupName": "group", "jobType": "job_type", "displayName": "name", "notes": "notes", "tags": "tags"}
    for theirs, ours in fields.items():
        if variables.get(theirs) is not None:
            setattr(run, ours, variables[theirs])
    return {"upsertBucket": {"bucket": run.bucket, "inserted": len(server.runs) > before}}


def _files(server: WandbServer, variables: dict[str, Any]) -> Any:
    url = f"http://{variables['host']}/storage"
    files = [{"name": name, "uploadUrl": f"{url}/{name}"} for name in variables["files"]]
    return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}


def _alert(server: WandbServer, variables: dict[str, Any]) -> Any:
    server.run(variables["entityName"], variables["projectName"], variables["runName"]).alerts.append(variables)
    return {"notifyScriptableRunAlert": {"success": True}}


def _one_run(server: WandbServer, variables: dict[str, Any]) -> Any:
    run = _known(server, variables)
    return {"project": {"run": run.bucket if run else None}}


def _runs(server: WandbServer, variables: dict[str, Any]) -> Any:
    filters = json.loads(variables.get("filters") or "{}")
    server.filters.append(filters)
    of_project = f"{variables['entity']}/{variables['project']}/"
    if not any(path.startswith(of_project) for path in server.runs):
        return {"project": None}
    found = [run for path, run in server.runs.items() if path.startswith(of_project) and _matches(run, filters)]
    start = int(variables.get("cursor") or 0)
    page = found[start : start + variables["perPage"]]
    edges = [{"node": run.bucket, "cursor": str(start + number)} for number, run in enumerate(page, 1)]
    info = {"endCursor": str(start + len(page)), "hasNextPage": start + len(page) < len(found)}
    runs = {"edges": edges, "pageInfo": info}
    return {"project": {"internalId": "1", "runCount": len(found), "readOnly": False, "runs": runs}}


def _matches(run: Run, filters: dict[str, Any]) -> bool:
    """As the server has it: a config's entry is an object with its value."""
    known = {"name": run.id, "state": run.state, "group": run.group}
    known |= {f"config.{name}.value": value for name, value in run.config.items()}

    def holds(name: str, wanted: Any) -> bool:
        if name in ("$and", "$or"):
            return {"$and": all, "$or": any}[name](_matches(run, each) for each in wanted)
        return known.get(name) in (wanted["$in"] if isinstance(wanted, dict) else [wanted])

    return all(holds(name, wanted) for name, wanted in filters.items())


def _sweep(server: WandbServer, variables: dict[str, Any]) -> Any:
    sweep = server.sweeps.get(variables["sweep"])
    known = {"id": "s", "name": variables["sweep"], "config": sweep.config if sweep else "", "state": "RUNNING"}
    known |= {"method": "grid", "runs": {"edges": []}}
    return {"project": {"sweep": known if sweep else None}}


def _heartbeat(server: WandbServer, variables: dict[str, Any]) -> Any:
    """A trial for an agent that has none."""
    (name, sweep), *_ = server.sweeps.items()
    commands: list[dict[str, Any]] = []
    if not json.loads(variables["runState"]):
        commands = [{"type": "exit"}]
        if sweep.trials:
            run, parameters = sweep.trials.pop(0)
            arguments = {key: {"value": value} for key, value in parameters.items()}
            commands = [{"type": "run", "run_id": run, "args": arguments, "program": "", "sweep": name}]
    return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}


def _artifact(server: WandbServer, variables: dict[str, Any]) -> Any:
    given = variables["input"]
    server.artifacts.append((given["artifactTypeName"], given["aliases"][0]["artifactCollectionName"]))
    sequence = {"id": "sequence", "latestArtifact": None}
    return {"createArtifact": {"artifact": {"id": "artifact", "state": "PENDING", "artifactSequence": sequence}}}


def _manifest(server: WandbServer, variables: dict[str, Any]) -> Any:
    file = {"id": "file", "name": "manifest", "displayName": "manifest", "uploadHeaders": []}
    file["uploadUrl"] = f"http://{variables['host']}/storage/manifest"
    return {"artifactManifest": {"id": "manifest", "file": file}}


def _artifact_files(server: WandbServer, variables: dict[str, Any]) -> Any:
    nodes = []
    for each in variables["input"]["artifactFiles"]:
        url = f"http://{variables['host']}/storage/artifact/{each['name']}"
        node = {"id": each["name"], "name": each["name"], "displayName": each["name"], "uploadUrl": url}
        node |= {"uploadHeaders": [], "storagePath": each["name"], "artifact": {"id": "artifact"}}
        nodes.append({"node": node | {"uploadMultipartUrls": None}})
    return {"createArtifactFiles": {"files": {"edges": nodes}}}


_OPERATIONS = {
    "Runs": _runs,
    "SweepWithRuns": _sweep,
    "CreateAgent": lambda server, variables: {"createAgent": {"agent": {"id": "agent"}}},
    "Heartbeat": _heartbeat,
    "ArtifactType": lambda server, variables: {"project": {"artifact": None}},
    "CreateArtifact": _artifact,
    "CreateArtifactManifest": lambda server, variables: {"createArtifactManifest": _manifest(server, variables)},
    "UpdateArtifactManifest": lambda server, variables: {"updateArtifactManifest": _manifest(server, variables)},
    "CreateArtifactFiles": _artifact_files,
    "CommitArtifact": lambda server, variables: {"commitArtifact": {"artifact": {"id": "artifact", "digest": ""}}},
    "Viewer": _viewer,
    "GetDefaultEntity": lambda server, variables: {"viewer": {"id": "VXNlcjox", "entity": ENTITY}},
    "ServerFeaturesQuery": lambda server, variables: {"serverInfo": {"features": []}},
    "OrganizationCoreWeaveOrganizationID": lambda server, variables: {"entity": {"organization": None}},
    "XXHashDigestsEnabled": lambda server, variables: {"entity": {"settings": {}}},
    "RunResumeStatus": _resume_status,
    "UpsertBucket": _upsert,
    "CreateRunFiles": _files,
    "MarkRunFilesUploaded": lambda server, variables: {"markRunFilesUploaded": {"success": True}},
    "RunStoppedStatus": lambda server, variables: {"project": {"run": {"stopped": False}}},
    "NotifyScriptableRunAlert": _alert,
    "GetRun": _one_run,
    "Run": _one_run,
}
