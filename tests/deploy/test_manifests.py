"""What `tcli deploy` writes: well-formed, filled in, and about a server that exists. Checkers that nobody here wrote judge it where they are installed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

from deployment_judges import KUBERNETES, documents, judged, strictly, tool
from deployments import deployment
from tcli_server.serving import Server
from triton_cli.deploy_files import KINDS, deployment_files, write_files
from triton_cli.deploy_security import Security
from triton_cli.serve import app as serve_app

ROOT = Path(__file__).parent.parent.parent


def is_yaml(path: str) -> bool:
    return path.endswith((".yaml", ".yml")) and "templates/" not in path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each kind, with its files; read only."""
    folder = tmp_path_factory.mktemp("deployments")
    for kind in KINDS:
        write_files(folder / kind, deployment_files(kind, deployment()), force=False)
    return folder


def nodes(value: Any) -> Iterator[Any]:
    """The value, and all that is in it."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("gpus", "security"),
    [
        (0, Security()),
        (2, Security("models.example.com")),
        (0, Security("models.example.com", clients=True, tokens=True)),
    ],
)
def test_every_file_is_filled_in_and_well_formed(kind: str, gpus: int, security: Security):
    files = deployment_files(kind, deployment(gpus=gpus, security=security))
    for path, text in files.items():
        assert not re.search(r"__[A-Z]|#(if|else|endif)\b", text), path
        if is_yaml(path):
            assert documents(text), path
    together = "".join(files.values())
    for expected in ("registry.example.com/tcli:9", "18000", "18001", "18002", "add_sub", "resnet-50.v1"):
        assert expected in together
    if kind in ("helm", "kustomize", "kserve"):
        assert ("nvidia.com/gpu: 2" in together) == bool(gpus)


def test_a_replica_gets_what_was_asked_for():
    (pod,) = documents(deployment_files("kustomize", deployment(gpus=1))["base/deployment.yaml"])
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    assert pod["spec"]["replicas"] == 3
    assert container["resources"]["limits"] == {"cpu": "7", "memory": "5Gi", "nvidia.com/gpu": 1}
    assert [port["containerPort"] for port in container["ports"]] == [18000, 18001, 18002]

    (compose,) = documents(deployment_files("compose", deployment(gpus=1))["docker-compose.yml"])
    service = compose["services"]["tcli"]
    assert service["deploy"]["replicas"] == 3
    assert service["deploy"]["resources"]["limits"] == {"cpus": "7", "memory": str(5 * 2**30)}
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 1
    assert service["volumes"][0]["source"] == "/srv/my models/$$one"  # compose reads $$ as $

    (values,) = documents(deployment_files("helm", deployment())["values.yaml"])
    assert values["models"] == ["add_sub", "resnet-50.v1"]
    assert values["ports"] == {"http": 18000, "grpc": 18001, "metrics": 18002}
    assert values["keda"]["queueMicroseconds"] == 12345
    assert values["repository"]["init"]["sizeLimit"] == "6Gi"


def test_options_and_probes_are_the_servers(written: Path, http_url: str):
    options = {name for option in typer.main.get_command(serve_app).params for name in option.opts}
    texts = [path.read_text() for path in written.rglob("*") if path.is_file()]
    used = {name for text in texts for name in re.findall(r"^\s*- (?:\{\{ printf \")?(--[a-z-]+)=", text, re.MULTILINE)}
    assert {"--http-port", "--load-model", "--exit-timeout-secs"} <= used
    assert used <= options

    probes = {path for text in texts for path in re.findall(r"/v2/health/[a-z]+", text)}
    assert probes == {"/v2/health/live", "/v2/health/ready"}
    for path in probes:
        assert httpx.get(f"http://{http_url}{path}").status_code == 200


def test_metrics_that_are_asked_for_exist(written: Path, server: Server):
    page = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    exist = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    used = {name for path in written.rglob("*") if path.is_file() for name in re.findall(r"\bnv_\w+", path.read_text())}
    assert {"nv_inference_queue_duration_us", "nv_model_load_duration_secs"} <= used
    assert used - exist <= {"nv_gpu_utilization"}  # only where there is a GPU
    dashboard = json.loads((written / "compose" / "grafana" / "dashboards" / "tcli.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) == 14


def test_what_may_run_may_not_do_much(written: Path):
    """No root, a read-only root file system, no capability, in everything that starts the server."""
    (pod,) = documents((written / "kustomize/base/deployment.yaml").read_text())
    spec = pod["spec"]["template"]["spec"]
    (runtime,) = documents((written / "kserve/servingruntime.yaml").read_text())
    for container in (spec["containers"][0], runtime["spec"]["containers"][0]):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not security["allowPrivilegeEscalation"]
    assert spec["securityContext"]["runAsNonRoot"]
    for file in ("compose/docker-compose.yml", "swarm/stack.yml"):
        (stack,) = documents((written / file).read_text())
        assert stack["services"]["tcli"]["read_only"] is True
        assert stack["services"]["tcli"]["user"] == "10001:10001"
    for file in ("Dockerfile", "Dockerfile.cuda"):
        last_stage = (ROOT / file).read_text().split("\nFROM ")[-1]
        assert "USER 10001:10001" in last_stage
        assert "HEALTHCHECK" in last_stage


def test_a_replica_has_time_to_drain(written: Path):
    (pod,) = documents((written / "kustomize/base/deployment.yaml").read_text())
    spec = pod["spec"]["template"]["spec"]
    (waits,) = [int(node["exec"]["command"][1]) for node in nodes(spec) if isinstance(node, dict) and "exec" in node]
    assert spec["terminationGracePeriodSeconds"] > waits + 5 + 30  # --shutdown-delay-secs, --exit-timeout-secs


def test_manifests_are_kubernetes(written: Path):
    for path in sorted((written / "kustomize").rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            strictly(path.read_text())


def test_helm_takes_the_chart(written: Path):
    helm = tool("helm")
    judged(helm, "lint", "--strict", written / "helm")
    render = (helm, "template", "shop", written / "helm")
    volume = judged(*render)
    by_queue = judged(*render, "--set", "repository.source=image,keda.enabled=true,serviceMonitor.enabled=true")
    assert "kind: ScaledObject" in by_queue
    assert "kind: HorizontalPodAutoscaler" in judged(*render, "--set", "autoscaling.enabled=true")
    strictly(volume)
    strictly(by_queue, KUBERNETES[1:])  # volumes that are images are new in 1.31


def test_kustomize_builds_both(written: Path):
    kubectl = tool("kubectl")
    assert "replicas: 3" in judged(kubectl, "kustomize", written / "kustomize/base")
    scaled = documents(judged(kubectl, "kustomize", written / "kustomize/overlays/autoscaled"))
    (pod,) = [document for document in scaled if document["kind"] == "Deployment"]
    assert "replicas" not in pod["spec"]


@pytest.mark.parametrize("security", [Security(), Security("models.example.com", clients=True, tokens=True)])
def test_docker_takes_the_stack(tmp_path: Path, security: Security):
    docker = tool("docker")
    write_files(tmp_path, deployment_files("swarm", deployment(gpus=1, security=security)), force=False)
    assert "NVIDIA-GPU" in judged(docker, "stack", "config", "--compose-file", tmp_path / "stack.yml")


def test_prometheus_takes_its_files(written: Path):
    judged(tool("promtool"), "check", "config", "prometheus.yml", cwd=written / "compose")


def test_prometheus_takes_the_dashboards_queries(written: Path, tmp_path: Path):
    promtool = tool("promtool")
    dashboard = json.loads((written / "compose/grafana/dashboards/tcli.json").read_text())
    rules = [
        {"record": f"panel:{panel['id']}", "expr": panel["targets"][0]["expr"].replace("$__rate_interval", "1m")}
        for panel in dashboard["panels"]
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    judged(promtool, "check", "rules", tmp_path / "rules.yml")


def test_proxies_take_their_files(written: Path, tmp_path: Path):
    nginx = tool("nginx")
    here = (written / "compose/nginx.conf").read_text().replace("server tcli:", "server 127.0.0.1:")
    (tmp_path / "nginx.conf").write_text(here.replace("/tmp/nginx", f"{tmp_path}/nginx"))
    judged(nginx, "-t", "-c", tmp_path / "nginx.conf")
