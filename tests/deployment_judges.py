"""Programs that nobody here wrote, which judge what `tcli deploy` writes where they are installed."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBERNETES = ("1.29", "1.33", "1.37")


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def judged(*command: object, cwd: Path | None = None) -> str:
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def strictly(text: str, versions: tuple[str, ...] = KUBERNETES) -> None:
    """Judge objects of Kubernetes' own kinds as `kubernetes-validate --strict` does."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed")
    import kubernetes_validate

    for document in documents(text):
        if any(group in document["apiVersion"] for group in ("keda.sh", "coreos.com")):
            continue
        for version in versions:
            kubernetes_validate.validate(document, version, strict=True)
