"""A plan with what has to be known to judge it: what it rests on, and what it would be otherwise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tcli_analyzer.earlier import Earlier
from tcli_analyzer.planning.plan import Demand, Fleet, PlanError, Sensitivity, plan, sensitivities
from tcli_analyzer.prediction.forecast import Forecast
from tcli_analyzer.prediction.scenario import setting_label, stored_tables
from tcli_analyzer.prediction.stored import StoredTables

_LOCAL = "this machine"
_WRONG = "wrong"


@dataclass(frozen=True)
class PlanAnswer:
    """A plan.

    Attributes:
        cores: of one replica: those of the machine that was analyzed.
        price_per_hour: of one replica; None if it is not known.
        errors: mean absolute error of predictions in that analysis, relative, by figure.
    """

    earlier: Earlier
    demand: Demand
    fleet: Fleet
    others: Sequence[Sensitivity]
    cores: int
    price_per_hour: float | None
    errors: Mapping[str, float]

    @property
    def cost_per_hour(self) -> float | None:
        """Of all replicas."""
        return None if self.price_per_hour is None else self.price_per_hour * self.fleet.replicas

    @property
    def cost_per_million(self) -> float | None:
        """Of a million inferences at this rate."""
        if self.cost_per_hour is None:
            return None
        return 1e6 * self.cost_per_hour / (3600 * self.demand.rate * self.demand.items)

    @property
    def share(self) -> float:
        """Of what a replica takes at most it gets this much when all run."""
        return self.demand.rate / self.fleet.replicas / self.fleet.capacity

    def assumptions(self) -> list[str]:
        """What the number rests on, the weightiest first."""
        said = [
            f"requests come independently of each other (a Poisson process), and the proxy chooses by {self.demand.balance}",
            f"a replica is a machine or a container like the one that was analyzed: {self.cores} "
            f"core{'s' if self.cores > 1 else ''}, {self.earlier.part('machine').get('processor', 'unknown')}",
        ]
        if self.earlier.document.get("where") == _LOCAL:
            said.append("the analysis ran inside its process: HTTP, gRPC and the network come on top")
        if self.errors.get("p99"):
            said.append(
                f"predictions were off by {100 * self.errors['p99']:.0f} % in p99 there; latencies are taken that longer"
            )
        else:
            said.append(
                "that analysis compared no prediction with a measurement, so there is no allowance for an error"
            )
        changed = [one for one in self.others if one.replicas != self.fleet.replicas]
        if changed:
            worst = max(
                changed, key=lambda one: math.inf if one.replicas is None else abs(one.replicas - self.fleet.replicas)
            )
            said.append(f"it depends most on this: {worst.assumed}")
        return said

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        fleet = self.fleet
        return {
            "model": self.earlier.model,
            "results": str(self.earlier.path),
            "request_rate": self.demand.rate,
            "batch_size": self.demand.items,
            "slo": self.demand.slo.text,
            "balance": self.demand.balance.value,
            "max_utilization": self.demand.most_utilisation,
            "configuration": fleet.configuration,
            "max_batch_size": fleet.max_batch_size,
            "instances": fleet.instances,
            "replicas": fleet.replicas,
            "replicas_needed": fleet.needed,
            "spare": self.demand.spare,
            "cores": self.cores * fleet.replicas,
            "cores_per_replica": self.cores,
            "capacity_per_replica": fleet.capacity,
            "share_of_capacity": self.share,
            "with_all": _figures(fleet.with_all),
            "without_spare": _figures(fleet.without_spare),
            "cost_per_hour": self.cost_per_hour,
            "cost_per_million_inferences": self.cost_per_million,
            "reason": fleet.sentence,
            "errors": dict(self.errors),
            "otherwise": [{"assumed": one.assumed, "replicas": one.replicas} for one in self.others],
            "assumptions": self.assumptions(),
        }


def planned(
    earlier: Earlier,
    demand: Demand,
    batch_limits: Sequence[int] | None = None,
    instances: Sequence[int] | None = None,
    price_per_hour: float | None = None,
) -> PlanAnswer:
    """Plan from an analysis. Configurations whose answers were found to differ from the model's are left out.

    Args:
        instances: only configurations with so many; None for all.

    Raises:
        EarlierError: it has no service times.
        PlanError: nothing is left, or no number of replicas keeps the objective.
        WhatIfError: the service times cannot answer that.
    """
    cores = earlier.part("machine").get("cores")
    if not isinstance(cores, int) or cores < 1:
        raise PlanError(f"{earlier.path} does not say how many cores its machine has", "analyze the model again")
    tables = _usable(earlier, stored_tables(earlier), instances)
    fleet = plan(tables, demand, batch_limits)
    errors = {name: value for name, value in (tables.errors or {}).items() if math.isfinite(value)}
    others = sensitivities(tables, demand, fleet)
    return PlanAnswer(earlier, demand, fleet, others, cores, price_per_hour, errors)


def _usable(earlier: Earlier, tables: StoredTables, instances: Sequence[int] | None) -> StoredTables:
    wrong = {
        _runs_as(str(row.get("configuration")))
        for row in earlier.rows("points")
        if row.get("accuracy_verdict") == _WRONG
    }
    right = [table for table in tables.tables if _runs_as(table.label) not in wrong]
    if tables.tables and not right:
        raise PlanError(
            f"{earlier.path}: all configurations answer otherwise than the model", "analyze the model again"
        )
    kept = [table for table in right if instances is None or table.instances in instances]
    if right and not kept:
        known = ", ".join(map(str, sorted({table.instances for table in right})))
        raise PlanError(
            f"nothing was measured with {', '.join(map(str, instances or ()))} instances: only {known}",
            "leave --instance-counts out, or analyze the model with these",
        )
    return replace(tables, tables=tuple(kept))


def _runs_as(label: str) -> str:
    """What of a configuration's label says how its executions run: all but the batcher's settings."""
    return setting_label(label, 1, 0)


def _figures(found: Forecast) -> dict[str, float]:
    return {
        "latency_avg_ms": found.mean_ms,
        **{f"latency_p{percentile:g}_ms": found.latency_ms(percentile) for percentile in (50, 90, 99)},
        "executed_batch_avg": float(found.batch_avg),
        "utilization": float(found.utilisation),
    }
