"""`tcli plan`: how many replicas a rate of requests needs, and what they cost."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

from triton_cli.console import fail

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_MOST_RATE = 1e8
_MOST_PRICE = 1e9


@app.command()
def plan(
    source: Annotated[
        Path, typer.Option("--from", metavar="DIR", help="The folder of an analysis, such as analysis/MODEL.")
    ],
    rate: Annotated[
        float,
        typer.Option(metavar="N", min=0.001, max=_MOST_RATE, help="Requests per second, all replicas together."),
    ],
    slo: Annotated[str, typer.Option(metavar="CONDITIONS", help="What latencies have to be, such as 'p99<=50ms'.")],
    price_per_hour: Annotated[
        float | None, typer.Option(metavar="N", min=0, max=_MOST_PRICE, help="Of one replica, in any currency.")
    ] = None,
    spare: Annotated[
        int, typer.Option(metavar="N", min=0, max=1000, help="Replicas that may be lost at the same time.")
    ] = 1,
    max_utilization: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.05, max=1.0, help="Of what a replica takes at most it gets this share."),
    ] = 0.8,
    balance: Annotated[
        str, typer.Option(metavar="random|round-robin", help="How the proxy before them chooses.")
    ] = "random",
    batch_sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Only these values of max_batch_size. [default: all]")
    ] = "",
    instance_counts: Annotated[
        str, typer.Option(metavar="N,N,...", help="Only these numbers of instances. [default: all that were measured]")
    ] = "",
    items: Annotated[
        int, typer.Option("-b", "--client-batch-size", metavar="N", min=1, help="Items in a request.")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Say how many replicas keep a latency objective at a rate, from what `tcli analyze` has measured.

    A prediction: the server's batcher is simulated with the execution times of that analysis. Nothing is measured.

    \b
    Examples:
      tcli plan --from analysis/resnet50 --rate 5000 --slo "p99<=50ms"
      tcli plan --from analysis/resnet50 --rate 5000 --slo "p99<=50ms,avg<=20ms" --spare 2 --price-per-hour 0.40
    """
    from tcli_analyzer.earlier import EarlierError, read_earlier
    from tcli_analyzer.planning.answer import planned
    from tcli_analyzer.planning.plan import Demand, PlanError
    from tcli_analyzer.planning.sharing import Balance
    from tcli_analyzer.prediction.what_if import WhatIfError
    from tcli_analyzer.rate.slo import SloError, parse_slo
    from triton_cli.plan_view import show_plan

    try:
        objective = parse_slo(slo)
    except SloError as error:
        raise typer.BadParameter(str(error), param_hint="--slo") from None
    if balance not in tuple(Balance):
        raise typer.BadParameter(f"'{balance}': expected {' or '.join(Balance)}", param_hint="--balance")
    demand = Demand(rate, objective, items, spare, max_utilization, Balance(balance))
    limits = _numbers(batch_sizes, "--batch-sizes") or None
    instances = _numbers(instance_counts, "--instance-counts") or None
    try:
        answer = planned(read_earlier(source), demand, limits, instances, price_per_hour)
    except (EarlierError, PlanError) as error:
        fail(str(error), error.fix)
    except WhatIfError as error:
        fail(str(error))
    if json:
        sys.stdout.write(json_module.dumps(answer.document(), indent=2) + "\n")
    else:
        show_plan(answer)


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")] if text else []
    except ValueError:
        numbers = [0]
    if any(not 1 <= number <= 1 << 20 for number in numbers):
        raise typer.BadParameter(f"'{text}': expected numbers above 0, such as 1,8", param_hint=option)
    return numbers
