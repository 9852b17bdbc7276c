"""What `tcli model` shows: tables, a configuration as text, or JSON."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from triton_cli.console import out, printable
from triton_cli.tables import one_line, show_table

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig
    from tritonclient.grpc.service_pb2 import ModelStatistics, RepositoryIndexResponse


def show_index(rows: "Sequence[RepositoryIndexResponse.ModelIndex]", empty: str) -> None:
    """One row for each version; `empty` says why there are none."""
    show_table(
        ("MODEL", "VERSION", "STATE", "REASON"),
        [tuple(map(one_line, (row.name, row.version, row.state or "not loaded", row.reason))) for row in rows],
        empty,
    )


def show_statistics(models: "Sequence[ModelStatistics]") -> None:
    """One row for each model version."""
    headings = (
        *("MODEL", "VERSION", "REQUESTS", "FAILED", "INFERENCES", "EXECUTIONS", "AVG BATCH"),
        *("REQUEST MS", "QUEUE MS", "INPUT MS", "INFER MS", "OUTPUT MS"),
    )
    show_table(headings, [_statistics_row(each) for each in models], "no model is ready")


def _statistics_row(model: "ModelStatistics") -> tuple[str, ...]:
    times = model.inference_stats
    batch = f"{model.inference_count / model.execution_count:.1f}" if model.execution_count else "-"
    parts = (times.success, times.queue, times.compute_input, times.compute_infer, times.compute_output)
    return (
        one_line(model.name),
        one_line(model.version),
        str(times.success.count),
        str(times.fail.count),
        str(model.inference_count),
        str(model.execution_count),
        batch,
        *(f"{part.ns / part.count / 1e6:.3f}" if part.count else "-" for part in parts),
    )


def show_config(config: "ModelConfig") -> None:
    """As text that a config.pbtxt could hold."""
    from tcli_server.repository import format_config

    out().print(printable(format_config(config)), markup=False, end="")


def show_json(document: Any) -> None:
    """A document alone on stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
