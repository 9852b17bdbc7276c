"""What `tcli serve` prints at the start: plain text, the same in a terminal, a pipe and a log collector."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from triton_cli.console import printable

if TYPE_CHECKING:
    from tcli_server.models.model import Model
    from tcli_server.serving import ServeOptions, Server


def model_table(entries: Sequence[Any]) -> str:
    """Model, version and READY or the reason why not; `entries` are those of a RepositoryIndexResponse."""
    rows = [("Model", "Version", "Status")]
    for entry in entries:
        status = entry.state if entry.state == "READY" else f"{entry.state}: {entry.reason}"
        rows.append((printable(entry.name).replace("\n", "\\n"), entry.version or "-", printable(status)))
    name_width = max(len(row[0]) for row in rows) + 2
    lines = []
    for name, version, status in rows:
        first, *more = status.split("\n")
        lines.append(f"{name:<{name_width}}{version:<9}{first}\n")
        lines += [f"    {line}\n" for line in more]
    return "".join(lines)


def placeholder_notes(models: Iterable["Model"]) -> Iterator[str]:
    """One line for each model whose weights are only a stand-in."""
    for model in models:
        if "tcli_placeholder" in model.config.parameters or (model.folder / "PLACEHOLDER").exists():
            yield f"\n{model.name} has placeholder weights: it runs as the real model does, but its answers mean nothing.\n"


def address_lines(server: "Server", options: "ServeOptions") -> str:
    """Where each service listens."""
    from tcli_server.serving import endpoints

    ports = {"http": server.http_port, "grpc": server.grpc_port, "metrics": server.metrics_port}
    names = {"http": "HTTP", "grpc": "gRPC", "metrics": "Metrics"}
    lines = [
        f"{names[endpoint.name]:<9}{endpoint.host}:{ports[endpoint.name]}"
        for endpoint in sorted(endpoints(options), key=lambda endpoint: list(names).index(endpoint.name))
    ]
    return "\n" + "".join(f"{line}\n" for line in lines) + "\n"
