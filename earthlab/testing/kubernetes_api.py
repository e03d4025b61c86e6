"""A small stand-in for a cluster's API: objects are kept and checked against Kubernetes' own schemas, pods "run".

It answers as Kubernetes does to making, reading, listing, watching and deleting pods, claims, services, secrets and
events of one namespace; all else is 404. What it is asked to make must be valid for the version it says it is, as a
strict cluster would have it. A pod is scheduled and runs a moment after it was made. Nothing is started for it, unless
a test says what: its address is that of a server of the test's own.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

from earthlab.testing.answering import answering

VERSION = "1.37.0"
KINDS = {
    "pods": "Pod",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "services": "Service",
    "secrets": "Secret",
    "events": "Event",
}
_WATCHED = 5.0
"""Seconds after which a watch ends, as a cluster's do; whoever watches asks again."""


@dataclass(slots=True)
class KubernetesApi:
    """The cluster's side: look at `objects`, change `pod_address` and `unschedulable` while it runs, and `schedule`."""

    url: str
    namespace: str
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By plural kind and name."""
    refused: list[str] = field(default_factory=list)
    """What was asked for and is not valid, with the reason."""
    pod_address: str = "127.0.0.1"
    unschedulable: bool = False
    """While true, pods wait for a node."""
    run: Callable[[Mapping[str, Any]], str] | None = None
    """Starts a pod's program, for tests whose pods are processes; gives the address."""
    end: Callable[[str], None] = lambda _: None
    """Ends what `run` has started for the pod of a name."""
    _changes: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    _version: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def pods(self) -> dict[str, dict[str, Any]]:
        """The pods there are, by name."""
        with self._changed:
            return {name: each for (kind, name), each in self.objects.items() if kind == "pods"}

    def write_config(self, file: Path) -> Path:
        """A kubeconfig by which clients find this API."""
        cluster = {"name": "essai", "cluster": {"server": self.url}}
        context = {"name": "essai", "context": {"cluster": "essai", "user": "essai", "namespace": self.namespace}}
        user = {"name": "essai", "user": {"token": "jeton-d-essai"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "essai"}
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        return file

    def schedule(self) -> None:
        """There is room again: pods that wait for a node run."""
        self.unschedulable = False
        for name, pod in self.pods().items():
            if pod["status"]["phase"] == "Pending":
                self._run(name)

    def make(self, plural: str, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Keep an object, or say why not."""
        made: dict[str, Any] = {"apiVersion": "v1", "kind": KINDS[plural], **given}
        try:
            kubernetes_validate.validate(made, VERSION, strict=True)
        except kubernetes_validate.ValidationError as exc:
            self.refused.append(f"{plural}/{given.get('metadata', {}).get('name')}: {exc}")
            return 422, _status(422, "Invalid", str(exc))
        name = made["metadata"]["name"]
        with self._changed:
            if (plural, name) in self.objects:
                return 409, _status(409, "AlreadyExists", f'{plural} "{name}" already exists')
            made["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "namespace": self.namespace,
                "creationTimestamp": _now(),
            }
            if plural == "pods":
                made["status"] = {"phase": "Pending"}
            self._note("ADDED", plural, made)
        if plural == "pods":
            self._tell(made, "Scheduled", f"Successfully assigned {self.namespace}/{name} to noeud-1")
            threading.Timer(0.2, self._run, [name]).start()
        return 201, made

    def remove(self, plural: str, name: str) -> tuple[int, dict[str, Any]]:
        """Forget an object."""
        with self._changed:
            found = self.objects.pop((plural, name), None)
            if found is None:
                return 404, _status(404, "NotFound", f'{plural} "{name}" not found')
            if plural == "pods":
                self.end(name)
            self._note("DELETED", plural, found, keep=False)
        return 200, found

    def list(self, plural: str, selector: str) -> dict[str, Any]:
        """All objects of a kind whose labels are as selected."""
        with self._changed:
            items = [each for (kind, _), each in self.objects.items() if kind == plural and _selected(each, selector)]
            return {
                "apiVersion": "v1",
                "kind": f"{KINDS[plural]}List",
                "metadata": {"resourceVersion": str(self._version)},
                "items": items,
            }

    def watch(self, plural: str, selector: str, since: int) -> Iterator[dict[str, Any]]:
        """What changes of them from now on, for some seconds."""
        until = threading.Event()
        threading.Timer(_WATCHED, until.set).start()
        while not until.is_set():
            with self._changed:
                new = [change for change in self._changes if change[0] > since]
                if not new:
                    self._changed.wait(0.2)
            for version, kind, found in new:
                since = version
                if found["kind"] == KINDS[plural] and _selected(found, selector):
                    yield {"type": kind, "object": found}

    def _run(self, name: str) -> None:
        if self.unschedulable:
            return
        with self._changed:
            pod = self.objects.get(("pods", name))
            if pod is None:
                return
            container = pod["spec"]["containers"][0]
            pod["status"] = {
                "phase": "Running",
                "podIP": self.run(pod) if self.run else self.pod_address,
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "",
                        "ready": True,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": _now()}},
                    }
                ],
            }
            self._note("MODIFIED", "pods", pod)
        self._tell(pod, "Started", f"Started container {container['name']}")

    def _tell(self, pod: dict[str, Any], reason: str, message: str) -> None:
        name = pod["metadata"]["name"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{name}.{uuid.uuid4().hex[:12]}",
                "namespace": self.namespace,
                "uid": str(uuid.uuid4()),
            },
            "involvedObject": {"kind": "Pod", "name": name, "namespace": self.namespace, "uid": pod["metadata"]["uid"]},
            "reason": reason,
            "message": message,
            "type": "Normal",
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "count": 1,
        }
        with self._changed:
            self._note("ADDED", "events", event)

    def _note(self, kind: str, plural: str, found: dict[str, Any], *, keep: bool = True) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        if keep:
            self.objects[plural, found["metadata"]["name"]] = found
        self._changes.append((self._version, kind, json.loads(json.dumps(found))))
        self._changed.notify_all()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _selected(found: Mapping[str, Any], selector: str) -> bool:
    labels = found["metadata"].get("labels", {})
    pairs = [pair.partition("=") for pair in selector.split(",") if pair]
    return all(labels.get(name) == value.lstrip("=") for name, _, value in pairs)


@contextmanager
def serve_kubernetes_api(namespace: str = "earthlab") -> Iterator[KubernetesApi]:
    """Such an API on a free loopback port, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    api = KubernetesApi(f"http://127.0.0.1:{server.server_port}", namespace)
    server.api = api  # type: ignore[attr-defined]
    with answering(server):
        yield api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _api(self) -> KubernetesApi:
        api: KubernetesApi = self.server.api  # type: ignore[attr-defined]
        return api

    def _place(self) -> tuple[str, str]:
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[:4] == ["api", "v1", "namespaces", self._api.namespace] and len(parts) in {5, 6} and parts[4] in KINDS:
            return parts[4], parts[5] if len(parts) == 6 else ""
        return "", ""

    def do_GET(self) -> None:
        plural, name = self._place()
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        selector = asked.get("labelSelector", "")
        if not plural:
            self._answer(404, _status(404, "NotFound", self.path))
        elif name:
            found = self._api.objects.get((plural, name))
            self._answer(200, found) if found else self._answer(404, _status(404, "NotFound", name))
        elif asked.get("watch") in {"true", "True", "1"}:
            self._stream(plural, selector, int(asked.get("resourceVersion") or 0))
        else:
            self._answer(200, self._api.list(plural, selector))

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        plural, _ = self._place()
        self._answer(*self._api.make(plural, given) if plural else (404, _status(404, "NotFound", self.path)))

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        plural, name = self._place()
        self._answer(*self._api.remove(plural, name) if name else (404, _status(404, "NotFound", self.path)))

    def _answer(self, status: int, found: Mapping[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, plural: str, selector: str, since: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for change in self._api.watch(plural, selector, since):
                line = json.dumps(change).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # Whoever watched has gone.
            self.close_connection = True

    def log_message(self, *_words: Any) -> None:
        """Nothing: tests have enough to say."""
