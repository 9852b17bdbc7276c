"""`tcli deploy`: manifests for clusters, with the models, ports and resources of the user's repository filled in."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_cli.console import out, printable
from triton_cli.repo_folder import DEFAULT_REPOSITORY, Repository, told

if TYPE_CHECKING:
    from triton_cli.deploy_security import Security
    from triton_cli.deployment import Deployment, Ports

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Option(help="What the deployment is called, and its objects.")]
Image = Annotated[
    str | None,
    typer.Option(metavar="IMAGE", help="The image of tcli. [default: tcli:VERSION, with GPUs tcli:VERSION-cuda]"),
]
Replicas = Annotated[
    int, typer.Option(min=1, max=1000, help="Replicas; autoscaling, where it is, goes up to four times.")
]
Cpus = Annotated[str, typer.Option(metavar="N", help="Cores of each replica, as 2, 0.5 or 500m.")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory of each replica, as 2Gi. [default: estimated from the models' files]"),
]
Gpus = Annotated[int, typer.Option(min=0, max=64, help="GPUs of each replica.")]
HttpPort = Annotated[int, typer.Option(min=1024, max=65535, help="HTTP, of the replicas and of what is before them.")]
GrpcPort = Annotated[int, typer.Option(min=1024, max=65535, help="gRPC, likewise.")]
MetricsPort = Annotated[int, typer.Option(min=1024, max=65535, help="Metrics of the replicas.")]
QueueTarget = Annotated[
    int,
    typer.Option(
        metavar="US",
        min=1,
        help="Mean microseconds in the queue above which KEDA adds replicas and an alert is raised.",
    ),
]
Tls = Annotated[
    str | None,
    typer.Option(
        metavar="HOST",
        help="TLS on every port; HOST is a name in the certificate, which the proxies and Prometheus expect.",
        show_default=False,
    ),
]
TlsClients = Annotated[
    bool,
    typer.Option("--tls-clients", help="With --tls: only clients whose certificate the same authority has signed."),
]
Tokens = Annotated[bool, typer.Option("--tokens", help="Only clients with a bearer token.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")]


@app.callback()
def deploy() -> None:
    """Write manifests for Kubernetes (Helm, Kustomize, KServe), compose or Swarm, filled in for your repository.

    Nothing is applied, and nothing is overwritten without --force.

    \b
    Examples:
      tcli deploy helm
      tcli deploy kustomize --replicas 3 --cpus 4
      tcli deploy compose
      tcli deploy kserve --image registry.example.com/tcli:0.1.0
    """


def _command(kind: str, text: str, following: str) -> None:
    def write(
        folder: Annotated[
            Path | None, typer.Argument(metavar="DIR", help=f"Where to. [default: deploy/{kind}]", show_default=False)
        ] = None,
        model_repository: Repository = DEFAULT_REPOSITORY,
        name: Name = "tcli",
        image: Image = None,
        replicas: Replicas = 2,
        cpus: Cpus = "2",
        memory: Memory = None,
        gpus: Gpus = 0,
        http_port: HttpPort = 8000,
        grpc_port: GrpcPort = 8001,
        metrics_port: MetricsPort = 8002,
        queue_target_us: QueueTarget = 50_000,
        tls: Tls = None,
        tls_clients: TlsClients = False,
        tokens: Tokens = False,
        force: Force = False,
    ) -> None:
        from triton_cli.deploy_files import deployment_files, write_files
        from triton_cli.deploy_needs import needed
        from triton_cli.deploy_security import Security
        from triton_cli.deployment import Ports

        ports = Ports(http_port, grpc_port, metrics_port)
        security = Security(tls, tls_clients, tokens)
        with told(model_repository):
            deployment = _deployment(
                kind, model_repository, name, image, replicas, ports, cpus, memory, gpus, queue_target_us, security
            )
            to = folder or Path("deploy") / kind
            files = deployment_files(kind, deployment)
            write_files(to, files, force)
        for path in files:
            out().print(printable(str(to / path)), markup=False)
        models = f"{len(deployment.models)} model" + ("s" if len(deployment.models) > 1 else "")
        cores = f"{deployment.cpus} core" + ("" if deployment.cpus == "1" else "s")
        estimated = "" if memory else " (estimated from the files' sizes: see what it really takes)"
        first = "".join(f"needs: {line}\n" for line in needed(kind, to, deployment))
        out().print(
            printable(
                f"\n{models} in {replicas} x {deployment.image}, {cores} and {deployment.memory}{estimated} each\n"
                f"\n{first}next: {following.format(dir=shlex.quote(str(to)), name=name)}"
            ),
            markup=False,
        )

    write.__doc__ = text
    app.command(kind)(write)


def _deployment(
    kind: str,
    repository: Path,
    name: str,
    image: str | None,
    replicas: int,
    ports: "Ports",
    cpus: str,
    memory: str | None,
    gpus: int,
    queue_microseconds: int,
    security: "Security",
) -> "Deployment":
    from tcli_server.repository import model_folders
    from triton_cli.deploy_checks import (
        check_image,
        check_models,
        check_name,
        check_ports,
        check_repository,
        check_security,
        checked_cpus,
    )
    from triton_cli.deployment import Deployment, default_image, estimated_memory, memory_parts, size_of

    check_name(name)
    check_ports(kind, ports)
    check_security(kind, security)
    cpus = checked_cpus(cpus)
    if image is not None:
        check_image(image)
    if memory is not None:
        memory_parts(memory)
    folder = Path(os.path.abspath(repository))  # noqa: PTH100 - a link stays what the user calls it
    check_repository(folder)
    models = tuple(sorted(model_folders([repository])))
    check_models(repository, models)
    size = size_of(repository)
    return Deployment(
        name=name,
        image=image or default_image(gpus),
        repository=folder,
        models=models,
        repository_bytes=size,
        replicas=replicas,
        ports=ports,
        cpus=cpus,
        memory=memory or estimated_memory(size),
        gpus=gpus,
        queue_microseconds=queue_microseconds,
        security=security,
    )


_command("helm", "Write a Helm chart, its values filled in.", "helm install {name} {dir}")
_command("kustomize", "Write plain manifests for kubectl and Kustomize.", "kubectl apply -k {dir}/base")
_command(
    "compose",
    "Write a compose file: replicas behind Envoy, with Prometheus and Grafana.",
    "docker compose -f {dir}/docker-compose.yml up -d",
)
_command("swarm", "Write a stack for Docker Swarm.", "docker stack deploy --compose-file {dir}/stack.yml {name}")
_command(
    "kserve",
    "Write a ServingRuntime and an InferenceService for KServe.",
    "kubectl apply -f {dir}/servingruntime.yaml -f {dir}/inferenceservice.yaml",
)
