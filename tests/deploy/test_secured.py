"""Deployments with TLS and tokens: what is written fits together, and a server that is started with it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployment_judges import documents, judged, strictly, tool
from deployments import deployment
from serve_command import serving
from tls_files import TlsFiles
from triton_cli.deploy_files import deployment_files, write_files
from triton_cli.deploy_security import Security

MUTUAL = Security("localhost", clients=True, tokens=True)
TOKEN = "t" * 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    made = TlsFiles(tmp_path_factory.mktemp("tls"))
    (made.folder / "tokens").write_text(f"prometheus metrics {TOKEN}\n")
    return made


def found_here(text: str, files: TlsFiles) -> str:
    """With the paths of files on this machine for those in a container."""
    for there, here in (("tls/tls.crt", "server.pem"), ("tls/tls.key", "server.key"), ("tls/ca.crt", "root.pem")):
        text = text.replace(f"/{there}", files.path(here))
    return text.replace("/tokens/tokens", files.path("tokens")).replace("/etc/prometheus/token", files.path("tokens"))


@pytest.fixture(scope="module")
def http_port(files: TlsFiles, standard_repository: Path) -> Iterator[int]:
    """Of a replica with all of it."""
    options = [found_here(option, files) for option in MUTUAL.serve_options]
    with serving(f"--model-repository={standard_repository}", *options, "--model-control-mode=explicit") as server:
        yield server.ports["HTTP"]


def health(security: Security, port: int, files: TlsFiles) -> bool:
    script = found_here(security.health_script(port, "/v2/health/ready"), files)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).returncode == 0


def test_a_replicas_own_probe_is_let_in(http_port: int, files: TlsFiles):
    assert health(MUTUAL, http_port, files)
    assert not health(Security("localhost"), http_port, files)
    assert not health(Security(), http_port, files)


def test_others_are_not(http_port: int, files: TlsFiles):
    with contextlib.suppress(httpx.TransportError):
        httpx.get(f"https://localhost:{http_port}/v2", verify=files.client_context())
        pytest.fail("no certificate was asked for")
    with_certificate = files.client_context(with_certificate=True)
    assert httpx.get(f"https://localhost:{http_port}/v2", verify=with_certificate).status_code == 401


def probes(pod: Any) -> list[Any]:
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    return [container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]


@pytest.mark.parametrize("security", [Security("models.example.com"), Security(tokens=True), MUTUAL])
def test_the_chart_and_kustomize_start_the_same_server(tmp_path: Path, security: Security):
    helm = tool("helm")
    secured = deployment(security=security)
    write_files(tmp_path, deployment_files("helm", secured), force=False)
    judged(helm, "lint", "--strict", tmp_path)
    rendered = judged(helm, "template", "shop", tmp_path, "--set", "serviceMonitor.enabled=true")
    plain = deployment_files("kustomize", secured)["base/deployment.yaml"]
    charts = {document["kind"]: document for document in documents(rendered)}
    (by_hand,) = documents(plain)
    one, other = (
        set(pod["spec"]["template"]["spec"]["containers"][0]["args"]) for pod in (charts["Deployment"], by_hand)
    )
    assert one - {"--exit-timeout-secs=30"} == other
    assert set(security.serve_options) <= one
    assert probes(charts["Deployment"]) == probes(by_hand)

    (endpoint,) = charts["ServiceMonitor"]["spec"]["endpoints"]
    assert (endpoint.get("scheme") == "https") == (security.host is not None)
    assert ("cert" in endpoint.get("tlsConfig", {})) == security.clients
    assert ("authorization" in endpoint) == security.tokens

    for text in (rendered, plain):
        strictly(text)


def test_prometheus_and_nginx_take_their_files(tmp_path: Path, files: TlsFiles):
    promtool, nginx = tool("promtool"), tool("nginx")
    written = deployment_files("compose", deployment(security=MUTUAL))
    for name in ("prometheus.yml", "rules.yml", "nginx.conf"):
        text = found_here(written[name], files).replace("server tcli:", "server 127.0.0.1:")
        (tmp_path / name).write_text(text.replace("/tmp/nginx", f"{tmp_path}/nginx"))
    judged(promtool, "check", "config", "prometheus.yml", cwd=tmp_path)
    judged(nginx, "-t", "-c", tmp_path / "nginx.conf")
