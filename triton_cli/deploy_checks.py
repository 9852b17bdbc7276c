"""What `tcli deploy` refuses before it writes anything: values that YAML, PromQL, a command or a cluster would take for something else."""

import re
from pathlib import Path

from triton_cli.console import EXIT_WRONG, fail
from triton_cli.deploy_security import Security
from triton_cli.deployment import Ports

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_IMAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:/@-]*[A-Za-z0-9])?")
_CPUS = re.compile(r"([0-9]{1,4})(\.[0-9]{1,3})?|([0-9]{1,7})m")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

_PUBLISHED = {
    "compose": {9090: "Prometheus", 3000: "Grafana", 9901: "Envoy's administration"},
    "swarm": {9901: "Envoy's administration"},
}
"""Ports beside those of the replicas, by kind of deployment."""


def check_name(name: str) -> None:
    """Refuse what cannot name a Kubernetes object, a compose project and a DNS entry at once.

    Raises:
        Exit: it cannot.
    """
    if not _NAME.fullmatch(name):
        fail(
            f"--name '{name}': expected lowercase letters, digits and dashes, a letter first, at most 40 characters",
            "such as --name tcli",
            EXIT_WRONG,
        )
    if name in _YAML_WORDS:
        fail(f"--name '{name}' is no text in YAML", "such as --name tcli", EXIT_WRONG)


def check_repository(repository: Path) -> None:
    """Refuse a path that manifests cannot hold.

    Raises:
        Exit: it has a line's end, a control character, or bytes that are no text.
    """
    if not str(repository).isprintable():
        fail(
            f"the path {repository} has a character that manifests cannot hold: expected printable ones",
            "rename the folder",
        )


def check_models(repository: Path, models: tuple[str, ...]) -> None:
    """Refuse a repository without models, and names that would be something else in YAML, PromQL or a command.

    Raises:
        Exit: there is none, or one with such a name.
    """
    if not models:
        fail(f"{repository} has no models", "'tcli repo init' or 'tcli repo add' writes some")
    for model in models:
        if not _MODEL.fullmatch(model):
            fail(
                f"model '{model}' of {repository}: expected a name of letters, digits, dots, dashes and underscores",
                "rename its folder",
            )


def check_image(image: str) -> None:
    """Refuse what is no image's name.

    Raises:
        Exit: it is none.
    """
    if not _IMAGE.fullmatch(image):
        fail(f"--image '{image}' names no image", "such as --image registry.example.com/tcli:0.1.0", EXIT_WRONG)


def check_ports(kind: str, ports: Ports) -> None:
    """Refuse ports that two services would share.

    Raises:
        Exit: two are equal, or one is that of what is written beside the replicas.
    """
    if len({ports.http, ports.grpc, ports.metrics}) < 3:
        fail(
            f"--http-port {ports.http}, --grpc-port {ports.grpc} and --metrics-port {ports.metrics} must differ",
            status=EXIT_WRONG,
        )
    for option, port in (("--http-port", ports.http), ("--grpc-port", ports.grpc)):
        if taken := _PUBLISHED.get(kind, {}).get(port):
            fail(f"{option} {port} is the port of {taken} in what is written", "choose another one", EXIT_WRONG)


def checked_cpus(cpus: str) -> str:
    """Cores as a plain number, of `2`, `0.5` or `500m`.

    Raises:
        Exit: another form, less than a tenth of a core, or more than 1024.
    """
    found = _CPUS.fullmatch(cpus)
    cores = 0.0 if found is None else int(found[3]) / 1000 if found[3] else float(cpus)
    if not 0.1 <= cores <= 1024:
        fail(f"--cpus '{cpus}': expected 0.1 to 1024 cores", "such as --cpus 2, 0.5 or 500m", EXIT_WRONG)
    return str(round(cores, 3)).removesuffix(".0")


def check_security(kind: str, security: Security) -> None:
    """Refuse a name that no certificate has, and what does nothing.

    Raises:
        Exit: such a name, clients' certificates without TLS, or any of it for KServe.
    """
    if kind == "kserve" and (security.host is not None or security.clients or security.tokens):
        fail(
            "--tls, --tls-clients and --tokens are not for KServe, which asks its containers by plain HTTP and without a token",
            "let its gateway end TLS and ask who calls",
            EXIT_WRONG,
        )
    if security.host is not None and (security.host in _YAML_WORDS or not _HOST.fullmatch(security.host)):
        fail(
            f"--tls '{security.host}': expected a host's name in the certificate, in lowercase letters",
            "such as --tls models.example.com",
            EXIT_WRONG,
        )
    if security.clients and security.host is None:
        fail("--tls-clients needs --tls", "such as --tls models.example.com --tls-clients", EXIT_WRONG)
