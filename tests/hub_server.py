"""A hub on loopback: the API and the files of model repositories, large files on a content server of another origin.

It speaks what the hub's own client and its documentation expect, answers well or badly, and remembers what it was asked.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>"


@dataclass
class Fault:
    """What is wrong with the answers for a file, or for the API.

    Attributes:
        status: instead of 200 or 206, with these headers.
        break_after: end the connection after so many bytes of an answer.
        body: instead of what is asked for.
        lie: by how many bytes Content-Length is more than what the repository says.
        stalls: send half of it, or what `break_after` says, then nothing until the server ends.
        circle: redirect to itself.
        times: for so many requests; then all is well.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None
    body: bytes | None = None
    lie: int = 0
    stalls: bool = False
    circle: bool = False
    times: int = 1_000_000


@dataclass
class Repository:
    """A repository at one commit.

    Attributes:
        large: the files that are kept on the content server; all others are in git.
        token: what one must have to read it.
        gated: the API answers everybody, the files do not.
    """

    files: dict[str, bytes]
    large: set[str] = field(default_factory=set)
    commit: str = "c0ffee00" * 5
    branches: tuple[str, ...] = ("main",)
    card: dict[str, object] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False
    faults: dict[str, Fault] = field(default_factory=dict)
    """Of a file by its path; `api` for the API."""


@dataclass
class Asked:
    method: str
    path: str
    headers: Message
    on_content_server: bool


@dataclass
class Hub:
    url: str = ""
    content_url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    ending: Event = field(default_factory=Event)

    def files_asked(self) -> list[str]:
        """The files of which something was sent, each once, in order."""
        places = [place for asked in self.asked if (place := re.search(r"/resolve/[^/]+/(.+)", asked.path))]
        return list(dict.fromkeys(place[1] for place in places))

    def ranges(self, file: str) -> list[str]:
        """The Range headers of the requests for a file at the place where its bytes are."""
        content = [asked for asked in self.asked if asked.on_content_server and asked.path.endswith(f"/{file}")]
        direct = [asked for asked in self.asked if asked.path.endswith(f"/{file}")]
        return [asked.headers.get("Range", "") for asked in content or direct]


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub without repositories."""
    hub = Hub()
    with ExitStack() as stack:
        hub.content_url = stack.enter_context(_serving(hub, True))
        hub.url = stack.enter_context(_serving(hub, False))
        try:
            yield hub
        finally:
            hub.ending.set()


@contextmanager
def _serving(hub: Hub, is_content: bool) -> Iterator[str]:
    class Handler(_Handler):
        served = hub
        is_content_server = is_content

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    is_content_server: bool
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def _answer(self) -> None:
        self.served.asked.append(Asked(self.command, self.path, self.headers, self.is_content_server))
        path = unquote(urlsplit(self.path).path)
        if self.is_content_server:
            match = re.fullmatch(r"/content/([^/]+/[^/]+)/(.+)", path)
            assert match
            self._content(self.served.repositories[match[1]], match[2])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/(.+))?", path):
            self._api(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        else:
            self._send(404, b"no such page")

    def _api(self, name: str, revision: str) -> None:
        repository = self._readable(name)
        if repository is None or self._failing(repository, "api"):
            return
        if revision not in (*repository.branches, repository.commit):
            self._send(404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for path, body in repository.files.items():
            sibling: dict[str, object] = {"rfilename": path, "size": len(body), "blobId": _git_name(body)}
            if path in repository.large:
                digest = hashlib.sha256(body).hexdigest()
                sibling["lfs"] = {"size": len(body), "sha256": digest, "pointerSize": 134}
            siblings.append(sibling)
        document = {
            "_id": "1",
            "id": name,
            "modelId": name,
            "sha": repository.commit,
            "private": repository.token is not None,
            "gated": "auto" if repository.gated else False,
            "tags": ["onnx"],
            "siblings": siblings,
            "cardData": repository.card,
        }
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._readable(name)
        if repository is None:
            return
        if repository.gated and not self._is_trusted(repository):
            self._send(403, b"Access is restricted", {"X-Error-Code": "GatedRepo"})
        elif path not in repository.files or revision not in (*repository.branches, repository.commit):
            self._send(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})
        elif path in repository.large:
            digest = hashlib.sha256(repository.files[path]).hexdigest()
            linked = {"X-Linked-Size": str(len(repository.files[path])), "X-Linked-Etag": f'"{digest}"'}
            place = f"{self.served.content_url}/content/{name}/{path}?Signature=secret"
            commit = {"X-Repo-Commit": repository.commit, "X-Xet-Hash": digest}
            self._send(302, b"", {"Location": place, **linked, **commit})
        else:
            self._content(repository, path)

    def _content(self, repository: Repository, path: str) -> None:
        body = repository.files[path]
        if self._failing(repository, path):
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.headers.get("If-Range", etag) == etag else 0
        headers = {"ETag": etag, "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self._send(206 if start else 200, body[start:], headers)

    def _readable(self, name: str) -> Repository | None:
        repository = self.served.repositories.get(name)
        if repository is None or (repository.token and not repository.gated and not self._is_trusted(repository)):
            self._send(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    def _is_trusted(self, repository: Repository) -> bool:
        return self.headers.get("Authorization") == f"Bearer {repository.token}"

    def _failing(self, repository: Repository, what: str) -> bool:
        """Answer badly where that is wanted."""
        fault = repository.faults.get(what)
        if fault is None or fault.times < 1:
            return False
        fault.times -= 1
        body = repository.files.get(what, b"{}") if fault.body is None else fault.body
        if fault.circle:
            self._send(302, b"", {"Location": self.path})
        elif fault.status is not None:
            self._send(fault.status, b"refused", fault.headers)
        elif fault.break_after is not None or fault.stalls:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            self._head(206 if start else 200, len(body) - start, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
            count = len(body) // 2 if fault.break_after is None else fault.break_after
            self.wfile.write(body[start : start + count])
            self.wfile.flush()
            self.close_connection = True
            if fault.stalls:
                self.served.ending.wait()
        elif fault.lie:
            self._head(200, len(body) + fault.lie, {})
            self.wfile.write(body + b"x" * max(fault.lie, 0))
        else:
            self._send(200, body, {"Content-Type": "text/html"})
        return True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _git_name(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
