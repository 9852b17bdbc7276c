"""`tcli deploy` as a user runs it."""

import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import onnx_models
from repositories import add_sub_config, write_model
from triton_cli.deploy import app


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "models"
    write_model(folder, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\nb\n"})
    return folder


def run(repository: Path, *arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--model-repository", str(repository)])
    return result.exit_code, result.stdout, result.stderr


def test_it_writes_and_says_what_comes_next(repository: Path, tmp_path: Path):
    status, stdout, _ = run(repository, "compose", tmp_path / "c", "--replicas", 3, "--http-port", 9000)
    assert status == 0
    for line in stdout.split("\n\n")[0].splitlines():
        assert Path(line).is_file()
    assert "1 model in 3 x tcli:" in stdout
    assert stdout.endswith(f"next: docker compose -f {tmp_path}/c/docker-compose.yml up -d\n")
    compose = (tmp_path / "c/docker-compose.yml").read_text()
    assert "--http-port=9000" in compose
    assert f'source: "{repository}"' in compose


def test_nothing_is_overwritten_without_force(repository: Path, tmp_path: Path):
    assert run(repository, "kserve", tmp_path)[0] == 0
    (tmp_path / "servingruntime.yaml").write_text("mine")
    (tmp_path / "inferenceservice.yaml").unlink()

    status, _, stderr = run(repository, "kserve", tmp_path)
    assert status == 1
    assert "servingruntime.yaml would be overwritten" in stderr
    assert "--force" in stderr
    assert (tmp_path / "servingruntime.yaml").read_text() == "mine"
    assert not (tmp_path / "inferenceservice.yaml").exists()

    assert run(repository, "kserve", tmp_path, "--force")[0] == 0
    assert "kind: ServingRuntime" in (tmp_path / "servingruntime.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--name", "My_Shop"], "--name 'My_Shop': expected lowercase letters"),
        (["--memory", "2GB"], "--memory '2GB': expected a number with Mi or Gi"),
        (["--image", "a b"], "--image 'a b' names no image"),
        (["--grpc-port", "8000"], "must differ"),
        (["--name", "no"], "--name 'no' is no text in YAML"),
        (["--image", "tcli:"], "names no image"),
        (["--cpus", "500M"], "--cpus '500M': expected 0.1 to 1024 cores"),
        (["--cpus", "nan"], "--cpus 'nan': expected 0.1 to 1024 cores"),
        (["--cpus", "10m"], "--cpus '10m': expected 0.1 to 1024 cores"),
        (["--tls", "https://a.b"], "--tls 'https://a.b': expected a host's name in the certificate"),
        (["--tls", "on"], "--tls 'on': expected a host's name in the certificate"),
        (["--tls-clients"], "--tls-clients needs --tls"),
    ],
)
def test_mistakes_are_told(repository: Path, tmp_path: Path, arguments: list[str], expected: str):
    status, _, stderr = run(repository, "helm", tmp_path / "out", *arguments)
    assert status == 2
    assert expected in stderr
    assert not (tmp_path / "out").exists()


def test_a_repository_must_have_models_with_names_that_manifests_can_hold(tmp_path: Path):
    status, _, stderr = run(tmp_path / "nowhere", "helm", tmp_path / "out")
    assert status == 1
    assert "tcli repo init" in stderr

    (tmp_path / "empty").mkdir()
    status, _, stderr = run(tmp_path / "empty", "helm", tmp_path / "out")
    assert status == 1
    assert "has no models" in stderr

    write_model(tmp_path / "odd", 'a "b"', onnx_models.add_sub())
    status, _, stderr = run(tmp_path / "odd", "helm", tmp_path / "out")
    assert status == 1
    assert "rename its folder" in stderr
    assert not (tmp_path / "out").exists()


def test_what_is_written_beside_the_replicas_has_its_ports(repository: Path, tmp_path: Path):
    status, _, stderr = run(repository, "compose", tmp_path / "out", "--grpc-port", 3000)
    assert status == 2
    assert "--grpc-port 3000 is the port of Grafana" in stderr
    assert run(repository, "kustomize", tmp_path / "out", "--grpc-port", 3000)[0] == 0


def test_kserve_has_a_gateway_for_tls_and_tokens(repository: Path, tmp_path: Path):
    status, _, stderr = run(repository, "kserve", tmp_path / "out", "--tokens")
    assert status == 2
    assert "not for KServe" in stderr


def test_secrets_that_are_needed_are_named(repository: Path, tmp_path: Path):
    secured = ("--tls", "models.example.com", "--tokens", "--cpus", "1500m")
    _, stdout, _ = run(repository, "helm", tmp_path / "h", *secured)
    assert "1.5 cores" in stdout
    assert "kubectl create secret generic tcli-tls --from-file=tls.crt --from-file=tls.key --from-file=ca.crt" in stdout
    _, stdout, _ = run(repository, "compose", tmp_path / "c", *secured)
    assert f"needs: {tmp_path}/c/tls/tls.crt, {tmp_path}/c/tls/tls.key, {tmp_path}/c/tls/ca.crt, readable" in stdout


def test_odd_paths_are_written_so_that_they_are_read_as_they_are(tmp_path: Path):
    repository = tmp_path / 'it\'s #1: a "b" $HOME'
    write_model(repository, "add_sub", onnx_models.add_sub())
    status, stdout, _ = run(repository, "swarm", tmp_path / "my files")
    assert status == 0
    assert shlex.split(stdout.splitlines()[-1])[-2] == f"{tmp_path}/my files/stack.yml"
    (stack,) = yaml.safe_load_all((tmp_path / "my files/stack.yml").read_text())
    assert stack["services"]["tcli"]["volumes"][0]["source"] == str(repository).replace("$", "$$")
    build = (tmp_path / "my files/models.Dockerfile").read_text().splitlines()[1]
    assert shlex.split(build.removeprefix("#"))[-1] == str(repository)

    repository.rename(tmp_path / "two\nlines")
    status, _, stderr = run(tmp_path / "two\nlines", "swarm", tmp_path / "out")
    assert status == 1
    assert "rename the folder" in stderr


def test_a_folder_that_cannot_be_made_is_told(repository: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    status, _, stderr = run(repository, "helm", tmp_path / "file" / "out")
    assert status == 1
    assert "cannot write" in stderr
