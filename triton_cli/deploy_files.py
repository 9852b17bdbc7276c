"""Fills in the templates of `deploy/`, and writes them out: all or none, over nothing that is there."""

import json
import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from triton_cli import __version__
from triton_cli.console import fail
from triton_cli.deploy_dashboard import dashboard
from triton_cli.deployment import Deployment

_PLACES = (Path(__file__).parent / "deployments", Path(__file__).parent.parent / "deploy")
"""An installed wheel carries the templates, a source tree has them under `deploy/`."""

_PLACEHOLDER = re.compile(r"__([A-Z]+(?:_[A-Z]+)*)__")
_LINES = re.compile(r"^([ \t]*)__([A-Z]+(?:_[A-Z]+)*)__\n", re.MULTILINE)

_MODELS_IMAGE = {"models.Dockerfile": "models.Dockerfile"}
_ENVOY = {"envoy.yaml": "proxies/envoy.yaml"}
_PROMETHEUS = {"prometheus.yml": "prometheus/prometheus.yml", "rules.yml": "prometheus/rules.yml"}
_DASHBOARD = "grafana/dashboards/tcli.json"

KINDS: Mapping[str, Mapping[str, str]] = {
    "helm": _MODELS_IMAGE,
    "kustomize": _MODELS_IMAGE,
    "compose": {**_ENVOY, "nginx.conf": "proxies/nginx.conf", **_PROMETHEUS},
    "swarm": {**_ENVOY, **_MODELS_IMAGE},
    "kserve": {},
}
"""Kind of deployment -> files beside those of its folder: where they go -> the template."""


def deployment_files(kind: str, deployment: Deployment) -> dict[str, str]:
    """Path below the folder that the user names -> text.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    root = _templates()
    templates = {
        str(file.relative_to(root / kind)): file for file in sorted((root / kind).rglob("*")) if file.is_file()
    }
    templates |= {path: root / template for path, template in KINDS[kind].items()}
    conditions, values, lines = _conditions(deployment), _values(deployment), _line_values(deployment)
    files = {
        path: _filled(_chosen(file.read_text(encoding="utf-8"), conditions), values, lines)
        for path, file in templates.items()
    }
    if kind == "compose":
        files[_DASHBOARD] = json.dumps(dashboard(deployment), indent=2) + "\n"
    return files


def write_files(folder: Path, files: Mapping[str, str], force: bool) -> None:
    """Write them below a folder, which is made where it is not there.

    Raises:
        Exit: a file is there and `force` is not given, or one cannot be written; that was told.
    """
    there = [path for path in files if (folder / path).exists() or (folder / path).is_symlink()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        fail(f"{folder / there[0]}{more} would be overwritten", "choose another DIR, or overwrite with --force")
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"cannot write {error.filename or folder}: {error.strerror}", "choose another DIR")


def _templates() -> Path:
    for place in _PLACES:
        if (place / "helm").is_dir():
            return place
    raise FileNotFoundError(f"the templates are neither at {' nor at '.join(map(str, _PLACES))}")


def _chosen(text: str, conditions: Mapping[str, bool]) -> str:
    """Of what lies between the lines `#if CONDITION`, `#else` where it is, and `#endif`: the part that holds."""
    chosen, holds = [], [True]
    for line in text.splitlines(keepends=True):
        match line.split():
            case ["#if", condition]:
                holds.append(holds[-1] and conditions[condition])
            case ["#else"]:
                holds[-1] = holds[-2] and not holds[-1]
            case ["#endif"]:
                holds.pop()
            case _ if holds[-1]:
                chosen.append(line)
    return "".join(chosen)


def _filled(text: str, values: Mapping[str, str], lines: Mapping[str, list[str]]) -> str:
    """Placeholders alone on a line become as many lines as they have, indented alike; others become text."""

    def block(found: re.Match[str]) -> str:
        if found[2] not in lines:
            return found[0]
        return "".join(f"{found[1]}{line}\n" for line in lines[found[2]])

    return _PLACEHOLDER.sub(lambda found: values[found[1]], _LINES.sub(block, text))


def _conditions(deployment: Deployment) -> dict[str, bool]:
    security = deployment.security
    return {
        "gpus": deployment.gpus > 0,
        "tls": security.host is not None,
        "tls-clients": security.clients,
        "tokens": security.tokens,
        "secrets": security.host is not None or security.tokens,
    }


def _values(deployment: Deployment) -> dict[str, str]:
    security, http_port = deployment.security, deployment.ports.http
    return {
        "NAME": deployment.name,
        "VERSION": __version__,
        "IMAGE": deployment.image,
        "REPOSITORY": _quoted(str(deployment.repository)),
        "REPOSITORY_SHELL": shlex.quote(str(deployment.repository)),
        "MODELS": ", ".join(deployment.models),
        "MODELS_REGEX": "|".join(model.replace(".", "[.]") for model in deployment.models),
        "MODEL_COUNT": str(len(deployment.models)),
        "REPLICAS": str(deployment.replicas),
        "MAX_REPLICAS": str(4 * deployment.replicas),
        "HTTP_PORT": str(deployment.ports.http),
        "GRPC_PORT": str(deployment.ports.grpc),
        "METRICS_PORT": str(deployment.ports.metrics),
        "CPUS": deployment.cpus,
        "MEMORY": deployment.memory,
        "MEMORY_BYTES": str(deployment.memory_bytes),
        "STORAGE": f"{math.ceil(2 * deployment.repository_bytes / 2**30) or 1}Gi",
        "GPUS": str(deployment.gpus),
        "QUEUE_TARGET_US": str(deployment.queue_microseconds),
        "HOST": security.host or "",
        "TLS": json.dumps(security.host is not None),
        "TLS_HOST": json.dumps(security.host or ""),
        "TLS_CLIENTS": json.dumps(security.clients),
        "TOKENS": json.dumps(security.tokens),
        "SCHEME": "http" if security.host is None else "https",
        "GRPC_SCHEME": "grpc" if security.host is None else "grpcs",
        "PROBE_SCHEME": "HTTP" if security.host is None else "HTTPS",
        "LIVE_SCRIPT": security.health_script(http_port, "/v2/health/live"),
        "READY_SCRIPT": security.health_script(http_port, "/v2/health/ready"),
    }


def _line_values(deployment: Deployment) -> dict[str, list[str]]:
    return {
        "SERVE_OPTIONS": [f"- {option}" for option in deployment.serve_options],
        "MODEL_LIST": [f"- {_quoted(model)}" for model in deployment.models],
    }


def _quoted(text: str) -> str:
    """As YAML has it, and with nothing that compose would take for a variable."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)
