"""The rules of what a configuration says about its model's metrics."""

import re

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.observability.metrics_options import HISTOGRAM_BUCKETS, MOST_BUCKETS, bucket_fault
from tcli_server.repository.report import Report

_TAG = re.compile(r"(?!_)[a-zA-Z0-9_]*")  # behind the _ of the label: two at the start are Prometheus' own


def check_metrics(config: ModelConfig, report: Report) -> None:
    """Report tags that are no labels, and buckets that are none."""
    _tags(config, report)
    _buckets(config, report)


def _tags(config: ModelConfig, report: Report) -> None:
    """A tag becomes the label `_<tag>` of every metric of the model: one that is no label spoils the whole page."""
    for tag in sorted(config.metric_tags):
        if _TAG.fullmatch(tag):
            continue
        meant = re.sub(r"\W", "_", tag.strip(), flags=re.ASCII).lstrip("_")
        field = f'metric_tags["{tag}"]'
        is_meant = meant and _TAG.fullmatch(meant) and meant not in config.metric_tags
        report.add(
            field,
            f"the tag {tag!a}",
            "a name for Prometheus: letters (a-z, A-Z), digits and _, the first one no _",
            f'write key: "{meant}"' if is_meant else "write another key",
            edits=report.writing(f"{field}.key", f'"{meant}"') if is_meant else (),
        )


def _buckets(config: ModelConfig, report: Report) -> None:
    for index, control in enumerate(config.model_metrics.metric_control):
        field = f"model_metrics.metric_control[{index}]"
        family = control.metric_identifier.family
        if family not in HISTOGRAM_BUCKETS:
            named = f"{field}.metric_identifier.family" if family else field
            expected = f"a histogram: {', '.join(HISTOGRAM_BUCKETS)}"
            report.add(named, f"'{family}'", expected, "write one of these, or remove this metric_control")
        fault = bucket_fault(control.histogram_options.buckets)
        if fault:
            report.add(
                f"{field}.histogram_options.buckets" if control.histogram_options.buckets else field,
                fault,
                f"upper bounds in ascending order, at most {MOST_BUCKETS}, none of them infinite",
                "write, for example, histogram_options { buckets: [10, 100, 1000] }",
            )
