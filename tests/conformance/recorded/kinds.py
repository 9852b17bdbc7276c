"""The kinds of exchange: each knows how to be held with a server, and gives the answers as plain JSON.

    Infer            one request, over HTTP and gRPC
    Conversation     requests in their order, over one of them, each answered before the next is sent
    Stream           requests on one gRPC stream, sent at once
    Cancelled        a stream that is cancelled after the first answer
    Generate         HTTP's generate and generate_stream
    Get              what a GET answers
    Load, Unload     a model
    Metrics          the families of a name's beginning

What an error says is compared by `says`: pieces of text that are in every error of the exchange, Triton's and others'.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from conformance.recorded.wire import LOAD_PATIENCE, Json, Request, Server, error_of, grpc_request, stream_message


class Exchange(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def says(self) -> tuple[str, ...]: ...

    def held(self, server: Server) -> Json:
        """What the server answers."""


@dataclass(frozen=True)
class Infer:
    name: str
    request: Request
    says: tuple[str, ...] = ()
    binary: bool = False

    def held(self, server: Server) -> Json:
        return {"http": server.infer_http(self.request, self.binary), "grpc": server.infer_grpc(self.request)}


@dataclass(frozen=True)
class Conversation:
    name: str
    requests: tuple[Request, ...]
    via: Literal["http", "grpc"] = "http"
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        return [getattr(server, f"infer_{self.via}")(request) for request in self.requests]


@dataclass(frozen=True)
class Stream:
    """Attributes:
    ordered: the order of all messages counts, not only that of each request's.
    folded: the end may come with the last response or alone, as the steps of an ensemble happen to end.
    """

    name: str
    requests: tuple[Request, ...]
    says: tuple[str, ...] = ()
    empty_final: bool = True
    ordered: bool = False
    folded: bool = False

    def held(self, server: Server) -> Json:
        messages = server.stream(self.requests, self.empty_final)
        if self.folded and len(messages) > 1 and "outputs" not in messages[-1] and "error" not in messages[-1]:
            messages[-2]["parameters"].update(messages.pop()["parameters"])
        if self.ordered:
            return messages
        ids = sorted({message.get("id", "") for message in messages})
        return {each: [message for message in messages if message.get("id", "") == each] for each in ids}


@dataclass(frozen=True)
class Cancelled:
    """Cancels after the first message, and then asks `after`."""

    name: str
    request: Request
    after: Request
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        call = server.stub.ModelStreamInfer(iter([grpc_request(self.request)]), timeout=server.patience)
        first = stream_message(next(call))
        call.cancel()
        return [first, server.stream([self.after], empty_final=False)]


@dataclass(frozen=True)
class Generate:
    name: str
    model: str
    body: Mapping[str, Any]
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        return {
            "generate": server.generate(self.model, self.body),
            "generate_stream": server.generate_stream(self.model, self.body),
        }


@dataclass(frozen=True)
class Get:
    """`keys`: what is kept of the answer; all of it if there are none."""

    name: str
    path: str
    keys: tuple[str, ...] = ()
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        answer = server.http.get(f"/v2/{self.path}")
        if answer.status_code != 200:
            return {"status": answer.status_code, "error": error_of(answer.json())}
        body = answer.json() if answer.content else {}
        return {"status": 200, **{key: body.get(key) for key in self.keys or body}}


@dataclass(frozen=True)
class Counts:
    """The counters of a model's statistics, since the topic began."""

    name: str
    model: str
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        (told,) = server.http.get(f"/v2/models/{self.model}/stats").json()["model_stats"]
        stats = told["inference_stats"]
        return {
            "inference_count": told["inference_count"],
            "execution_count": told["execution_count"],
            **{key: stats[key]["count"] for key in ("success", "fail", "queue", "compute_infer")},
            **{f"batches of {each['batch_size']}": each["compute_infer"]["count"] for each in told["batch_stats"]},
        }


@dataclass(frozen=True)
class Control:
    """Loads or unloads a model; `path` is asked afterwards."""

    name: str
    model: str
    action: Literal["load", "unload"] = "load"
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        answer = server.http.post(f"/v2/repository/models/{self.model}/{self.action}", json={}, timeout=LOAD_PATIENCE)
        ready = server.http.get(f"/v2/models/{self.model}/ready").status_code
        told = {"status": answer.status_code, "ready": ready}
        return told if answer.status_code == 200 else {**told, "error": error_of(answer.json())}


@dataclass(frozen=True)
class Metrics:
    """What the metrics port has of the families whose name begins so: the kind, the description and the values."""

    name: str
    begins: str
    says: tuple[str, ...] = field(default=())

    def held(self, server: Server) -> Json:
        families: dict[str, Any] = {}
        for line in server.http.get(server.metrics).text.splitlines():
            if line.startswith("# "):
                word, name, rest = line[2:].split(" ", 2)
                if name.startswith(self.begins):
                    families.setdefault(f"{word} {name}", rest)
            elif line.startswith(self.begins):
                series, value = line.rsplit(" ", 1)
                families[_bounds_as_numbers(series)] = float(value)
        return dict(sorted(families.items()))


def _bounds_as_numbers(series: str) -> str:
    name, _, labels = series.partition("{")
    pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    if "le" in pairs:
        pairs["le"] = str(float(pairs["le"]))
    return name + str(sorted(pairs.items())) if pairs else name
