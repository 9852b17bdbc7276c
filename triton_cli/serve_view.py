"""What `tcli serve` prints at the start: plain text, the same in a terminal, a pipe and a log collector."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from triton_cli.console import printable

if TYPE_CHECKING:
    from tcli_server.options import EngineOptions
    from tcli_server.serving import ServeOptions, Server
    from tcli_server.workers import Supervisor


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


def start_table(index: Sequence[Any], options: "EngineOptions", placeholders: Iterable[str]) -> tuple[str, list[str]]:
    """What the start has loaded, for people, and the names of the models that it could not load.

    Args:
        index: the entries of a RepositoryIndexResponse.
        placeholders: models whose weights are only a stand-in.
    """
    names = (*options.load_models, *options.on_demand.pin_models)
    everything = options.model_control_mode in ("none", "poll") or names == ("*",)
    asked = [entry for entry in index if entry.state and (everything or entry.name in names)]
    if options.model_control_mode == "on-demand":
        count = len({entry.name for entry in index})
        text = f"{count} models, loaded when they are asked for\n{model_table(asked) if asked else ''}"
    else:
        text = model_table(asked)
    for name in placeholders:
        text += f"\n{name} has placeholder weights: it runs as the real model does, but its answers mean nothing.\n"
    return text, sorted({entry.name for entry in asked if entry.state != "READY"})


def address_lines(server: "Server | Supervisor", options: "ServeOptions") -> str:
    """Where each service listens."""
    from tcli_server.serving import endpoints

    ports = {"http": server.http_port, "grpc": server.grpc_port, "metrics": server.metrics_port, **server.cloud_ports}
    names = {
        "http": "HTTP",
        "grpc": "gRPC",
        "metrics": "Metrics",
        **{cloud.name: cloud.title for cloud in options.clouds},
    }
    width = max(map(len, names.values())) + 2
    lines = [
        f"{names[endpoint.name]:<{width}}{endpoint.host}:{ports[endpoint.name]}"
        for endpoint in sorted(endpoints(options), key=lambda endpoint: list(names).index(endpoint.name))
    ]
    return "\n" + "".join(f"{line}\n" for line in lines) + "\n"
