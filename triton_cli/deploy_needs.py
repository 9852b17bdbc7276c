"""What `tcli deploy` cannot write, and tells: what has to be there before anything starts."""

from pathlib import Path

from triton_cli.deployment import Deployment, default_image

_MODELS = {
    "helm": "the models in a claim {name}-models, or another repository.source in {folder}/values.yaml",
    "kustomize": "the models in the claim {name}-models, which {folder}/base/models.yaml asks for",
    "swarm": "the models at {repository} on every node",
    "kserve": "the models in a claim {name}-models, or another storageUri in {folder}/inferenceservice.yaml",
}
"""Kind of deployment -> where its replicas find models, if not where they are."""


def needed(kind: str, folder: Path, deployment: Deployment) -> list[str]:
    """The image, the models, Secrets or their files: a line each."""
    needs = []
    if deployment.image == default_image(deployment.gpus):
        dockerfile = "Dockerfile.cuda" if deployment.gpus else "Dockerfile"
        needs.append(f"the image {deployment.image}, which the {dockerfile} of tcli's source makes")
    if kind in _MODELS:
        needs.append(_MODELS[kind].format(name=deployment.name, folder=folder, repository=deployment.repository))
    return needs + _secrets(kind, folder, deployment)


def _secrets(kind: str, folder: Path, deployment: Deployment) -> list[str]:
    secrets = []
    if deployment.security.host is not None:
        secrets.append(("tls", ["tls.crt", "tls.key", "ca.crt"]))
    if deployment.security.tokens:
        secrets.append(("tokens", ["tokens", "prometheus"] if kind in ("helm", "compose") else ["tokens"]))
    if kind in ("helm", "kustomize"):
        return [
            f"kubectl create secret generic {deployment.name}-{secret} "
            + " ".join(f"--from-file={file}" for file in files)
            for secret, files in secrets
        ]
    readable = ", readable for group 10001" if kind == "compose" else ""
    return [", ".join(str(folder / secret / file) for file in files) + readable for secret, files in secrets]
