"""Deployments for the tests."""

from pathlib import Path
from typing import Any

from triton_cli.deployment import Deployment, Ports


def deployment(**changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "name": "shop",
        "image": "registry.example.com/tcli:9",
        "repository": Path("/srv/my models/$one"),
        "models": ("add_sub", "resnet-50.v1"),
        "repository_bytes": 3 * 2**30,
        "replicas": 3,
        "ports": Ports(18000, 18001, 18002),
        "cpus": "7",
        "memory": "5Gi",
        "gpus": 0,
        "queue_microseconds": 12345,
    }
    return Deployment(**(values | changes))
