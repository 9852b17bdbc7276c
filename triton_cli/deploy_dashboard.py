"""The Grafana dashboard: one panel a question, made of what /metrics has."""

from typing import Any

from triton_cli.deployment import Deployment

_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3

_SELECTED = 'model=~"$model"'
_ASKED = f"(sum by (model) (rate(nv_inference_request_success{{{_SELECTED}}}[$__rate_interval])) > 0)"


def _rate(family: str, by: str = "model") -> str:
    return f"sum by ({by}) (rate({family}{{{_SELECTED}}}[$__rate_interval]))"


def _quantile(quantile: float) -> str:
    return f"histogram_quantile({quantile}, {_rate('tcli_request_duration_seconds_bucket', 'model, le')})"


_PANELS = (
    ("Requests answered", "reqps", _rate("nv_inference_request_success"), "{{model}}"),
    ("Inferences", "ops", _rate("nv_inference_count"), "{{model}}"),
    ("Requests failed", "reqps", _rate("nv_inference_request_failure", "model, reason"), "{{model}} {{reason}}"),
    ("Mean time of a request", "µs", f"{_rate('nv_inference_request_duration_us')} / {_ASKED}", "{{model}}"),
    ("Median time of a request", "s", _quantile(0.5), "{{model}}"),
    ("99th percentile of a request", "s", _quantile(0.99), "{{model}}"),
    ("Mean time in the queue", "µs", f"{_rate('nv_inference_queue_duration_us')} / {_ASKED}", "{{model}}"),
    ("Mean time in the model", "µs", f"{_rate('nv_inference_compute_infer_duration_us')} / {_ASKED}", "{{model}}"),
    (
        "Mean batch",
        "short",
        f"{_rate('nv_inference_count')} / ({_rate('nv_inference_exec_count')} > 0)",
        "{{model}}",
    ),
    (
        "Requests that wait",
        "short",
        f"sum by (model) (nv_inference_pending_request_count{{{_SELECTED}}})",
        "{{model}}",
    ),
    ("Requests by replica", "reqps", _rate("nv_inference_request_success", "instance"), "{{instance}}"),
    ("Processor", "percentunit", "nv_cpu_utilization", "{{instance}}"),
    ("Memory of the machine", "bytes", "nv_cpu_memory_used_bytes", "{{instance}}"),
    ("GPU", "percentunit", "nv_gpu_utilization", "{{instance}} {{gpu_uuid}}"),
)
"""Title, Grafana's unit, query, legend."""


def dashboard(deployment: Deployment) -> dict[str, Any]:
    """Grafana's JSON model of the dashboard, for the data source with the uid `prometheus`."""
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "uid": deployment.name,
        "title": f"{deployment.name}: inference",
        "tags": ["tcli"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "model",
                    "label": "Model",
                    "type": "query",
                    "datasource": source,
                    "query": "label_values(nv_model_load_duration_secs, model)",
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                }
            ]
        },
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": title,
                "datasource": source,
                "gridPos": {
                    "x": _WIDTH * (number % _COLUMNS),
                    "y": _HEIGHT * (number // _COLUMNS),
                    "w": _WIDTH,
                    "h": _HEIGHT,
                },
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
                "targets": [{"refId": "A", "datasource": source, "expr": query, "legendFormat": legend}],
            }
            for number, (title, unit, query, legend) in enumerate(_PANELS)
        ],
    }
