"""What `--metrics-config` chooses: which families there are of the times of requests."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tcli_server.errors import InvalidArgumentError

FIRST_RESPONSE = "nv_inference_first_response_histogram_ms"
REQUEST_DURATION = "tcli_request_duration_seconds"
BATCH_SIZE = "tcli_batch_size"

HISTOGRAM_BUCKETS: dict[str, tuple[float, ...]] = {
    FIRST_RESPONSE: (100, 500, 2000, 5000),
    REQUEST_DURATION: (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
        *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    ),
    BATCH_SIZE: (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
}
"""Upper bounds by family, where a model's configuration has no others; those of the first one are Triton's."""

MOST_BUCKETS = 100
"""Each is a time series for each model version and for each server that is scraped."""

_MOST_QUANTILES = 20
_KEYS = ("counter_latencies", "histogram_latencies", "summary_latencies", "summary_quantiles")


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    """Families of the times of requests; names and defaults are Triton's.

    Attributes:
        counter_latencies: sums, in microseconds.
        histogram_latencies: how many took how long, and how large batches were.
        summary_latencies: quantiles of the last minute.
        summary_quantiles: which, ascending, between 0 and 1.
    """

    counter_latencies: bool = True
    histogram_latencies: bool = False
    summary_latencies: bool = False
    summary_quantiles: tuple[float, ...] = (0.5, 0.9, 0.95, 0.99, 0.999)

    @property
    def distributions(self) -> bool:
        """Whether more than sums is kept of a model's requests."""
        return self.histogram_latencies or self.summary_latencies


def parse_metrics_config(settings: Sequence[str]) -> MetricsOptions:
    """The options that `--metrics-config` gives, one `KEY=VALUE` each; the last of a key counts.

    Raises:
        InvalidArgumentError: an unknown key, or a value that it does not have.
    """
    options = MetricsOptions()
    switches: dict[str, bool] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key not in _KEYS:
            raise InvalidArgumentError(f"'{setting[:200]}': expected KEY=VALUE with a key of {', '.join(_KEYS)}")
        if key == "summary_quantiles":
            options = replace(options, summary_quantiles=_quantiles(setting, value))
        else:
            switches[key] = _switch(setting, value)
    return replace(options, **switches)  # type: ignore[arg-type]


def bucket_fault(buckets: Sequence[float]) -> str:
    """Why these are no upper bounds of a histogram; empty if they are."""
    if not buckets:
        return "no buckets"
    if len(buckets) > MOST_BUCKETS:
        return f"{len(buckets)} buckets"
    if not all(map(math.isfinite, buckets)) or any(low >= high for low, high in itertools.pairwise(buckets)):
        return str(list(buckets))
    return ""


def _switch(setting: str, value: str) -> bool:
    known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if value.lower() not in known:
        raise InvalidArgumentError(f"'{setting[:200]}': expected true or false")
    return known[value.lower()]


def _quantiles(setting: str, value: str) -> tuple[float, ...]:
    """The quantiles of `QUANTILE:ERROR,...`. The errors are checked and not needed: see `Summary`."""
    found: set[float] = set()
    for pair in value.split(","):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*:\s*([0-9]*\.?[0-9]+)\s*", pair)
        if match is None or not 0 <= float(match[1]) <= 1 or not 0 <= float(match[2]) <= 1:
            raise InvalidArgumentError(
                f"'{setting[:200]}': found '{pair[:50]}', expected QUANTILE:ERROR, both between 0 and 1, such as "
                "0.5:0.05,0.99:0.001"
            )
        found.add(float(match[1]))
    if len(found) > _MOST_QUANTILES:
        raise InvalidArgumentError(f"'{setting[:200]}': expected at most {_MOST_QUANTILES} quantiles")
    return tuple(sorted(found))
