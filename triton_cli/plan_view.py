"""How a plan is shown: the answer, why, and what it rests on."""

from typing import TYPE_CHECKING

from triton_cli.console import out, printable

if TYPE_CHECKING:
    from tcli_analyzer.planning.answer import PlanAnswer


def show_plan(answer: "PlanAnswer") -> None:
    """Print it."""
    from tcli_analyzer.numbers import short

    fleet, demand = answer.fleet, answer.demand
    spare = f" ({fleet.needed} needed, {demand.spare} spare)" if demand.spare else ""
    p99_all, p99_lost = fleet.with_all.latency_ms(99), fleet.without_spare.latency_ms(99)
    lost = f", {short(p99_lost)} ms without the spare" if demand.spare else ""
    rows = [
        ("replicas", f"{fleet.replicas}{spare}"),
        ("cores", f"{answer.cores * fleet.replicas} ({answer.cores} each)"),
        ("configuration", fleet.configuration),
        ("each gets", f"{short(demand.rate / fleet.replicas)} requests/s, {100 * answer.share:.0f} % of what it takes"),
        ("p99", f"{short(p99_all)} ms{lost}"),
        ("average batch", f"{fleet.with_all.batch_avg:.3g}"),
    ]
    if answer.cost_per_hour is not None and answer.cost_per_million is not None:
        rows.append(("cost", f"{answer.cost_per_hour:.4g} an hour, {answer.cost_per_million:.4g} a million inferences"))
    lines = [f"{answer.earlier.model}: {demand.rate:g} requests/s with {demand.slo.text}", ""]
    lines += [f"  {name:<14} {text}" for name, text in rows]
    lines += ["", f"{fleet.sentence[0].upper()}{fleet.sentence[1:]}.", "", "Otherwise:"]
    lines += [f"  {'none' if one.replicas is None else one.replicas:<6} {one.assumed}" for one in answer.others]
    lines += ["", "A prediction: nothing was measured now. It assumes:"]
    lines += [f"  - {text}" for text in answer.assumptions()]
    out().print(printable("\n".join(lines)), markup=False)
