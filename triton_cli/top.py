"""`tcli top`: what the models of a running server do at this moment."""

import sys
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from triton_cli.console import fail, out
from triton_cli.signals import EXIT_INTERRUPTED, stop_on_signals
from triton_cli.top_feed import Feed
from triton_cli.top_order import Order

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def top(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="host:port, or a URL. Ports: 8000 for HTTP, 8001 for gRPC.")
    ] = "localhost",
    metrics_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The metrics page; 'none' for none. [default: on the port that is to the server's as 8002 to Triton's]",
        ),
    ] = "",
    interval: Annotated[
        float, typer.Option("-i", "--interval", metavar="SECONDS", min=0.1, max=3600, help="Between two samples.")
    ] = 2.0,
    models: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="NAME", help="Only this model; * and ? are wildcards (repeatable)."),
    ] = None,
    sort: Annotated[Order, typer.Option(metavar="|".join(Order), help="What comes first.")] = Order.RATE,
    once: Annotated[bool, typer.Option("--once", help="Show one interval as plain text, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, one for each interval.")] = False,
) -> None:
    """Watch the models of any V2 server: requests, errors, queue, batches, latency, and its CPU and GPUs.

    On a terminal: q ends, n r e w p l b sort by name, rate, errors, wait, pending, latency, batch; arrows scroll.

    \b
    Examples:
      tcli top
      tcli top gpu-box:8000 --sort latency
      tcli top --once --json -m 'resnet*'
    """
    from tcli_client import ClientError, parse_address
    from tcli_client.watch import Watcher, guessed_metrics_url
    from triton_cli.top_live import watch_live
    from triton_cli.top_print import watch_printed

    def wanted(name: str) -> bool:
        return not models or any(fnmatchcase(name, pattern) for pattern in models)

    try:
        page = metrics_url or guessed_metrics_url(parse_address(url))
        watcher = Watcher(url, "" if page == "none" else page)
    except ClientError as problem:
        fail(str(problem), problem.fix)
    with stop_on_signals() as stop, Feed(watcher, interval) as feed:
        if once or json or not sys.stdout.isatty() or out().is_dumb_terminal:
            watch_printed(feed, wanted, sort, once=once, json=json, stop=stop)
        else:
            watch_live(feed, wanted, sort, stop)
    if stop.is_set():
        raise typer.Exit(EXIT_INTERRUPTED)
