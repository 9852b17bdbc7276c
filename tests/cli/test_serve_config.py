"""Options of `tcli serve` from a file and from the environment, and `--print-config`."""

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

import onnx_models
from repositories import write_model
from serve_command import FREE_PORTS, serve, serving
from triton_cli.option_sources import SEPARATOR, settable, variable_of
from triton_cli.option_view import options_as_yaml
from triton_cli.serve import app
from triton_cli.triton_options import is_switch

COMMAND: Any = typer.main.get_command(app)
OPTIONS = settable(COMMAND)
NOT_SETTINGS = {"config", "print_config", "help"}
SECRETS = {"http-restricted-api", "grpc-restricted-protocol"}
"""Options whose values are secrets, as far as there are any."""


@pytest.fixture(autouse=True)
def in_an_empty_folder_without_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in os.environ:
        if variable.startswith(("TCLI_", "AIP_")):
            monkeypatch.delenv(variable)


def parsed(*arguments: str) -> typer.Context:
    """What the command makes of a command line, in this process and this environment."""
    return COMMAND.make_context("serve", [*arguments])


def settings(ctx: typer.Context) -> dict[str, Any]:
    return {name: value for name, value in ctx.params.items() if name not in NOT_SETTINGS}


def another(param: Any) -> list[str]:
    """Values of the option's kind that are not its default."""
    if is_switch(param):
        return ["false" if param.default == "true" else "true"]
    if isinstance(param.default, int | float):
        return [str(param.default + 1)]
    if param.multiple:
        return ["a b", "c=d,e"]
    try:
        param.process_value(typer.Context(COMMAND), "text")
    except typer.BadParameter:
        return ["7"]
    return ["some: text"]


def test_every_option_can_come_from_a_file_and_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    names = {param.name: name for name, param in reversed(OPTIONS.items())}
    assert names.keys() == {param.name for param in COMMAND.params} - NOT_SETTINGS - {"source"}
    values = {name: another(OPTIONS[name]) for name in names.values()}
    typed = parsed(*(f"--{name}={text}" for name, texts in values.items() for text in texts))
    defaults = parsed()
    for name in names:
        assert typed.params[name] != defaults.params[name], name

    lines = (f"{name}: {json.dumps(texts if len(texts) > 1 else texts[0])}" for name, texts in values.items())
    Path("all.yaml").write_text("\n".join(lines))
    from_file = parsed("--config", "all.yaml")
    assert settings(from_file) == settings(typed)

    for name, texts in values.items():
        monkeypatch.setenv(variable_of(name), SEPARATOR.join(texts))
    from_environment = parsed()
    assert settings(from_environment) == settings(typed)

    shown = options_as_yaml(from_environment)
    assert shown.count("# environment TCLI_") == len(names)
    for name in values:
        monkeypatch.delenv(variable_of(name))
    Path("shown.yaml").write_text(shown)
    read_back = parsed("--config", "shown.yaml")
    for param, name in names.items():
        if name not in SECRETS:
            assert read_back.params[param] == typed.params[param], name


def test_secrets_are_declared_as_such():
    for name in SECRETS & OPTIONS.keys():
        assert OPTIONS[name].hide_input, f"--{name}: declare it with hide_input=True, so that --print-config is silent"


def test_command_line_before_environment_before_file_before_default(monkeypatch: pytest.MonkeyPatch):
    Path("server.yaml").write_text(
        "# all\nhttp-port: 1\ngrpc_port: 2\nmetrics-port: 3\nload-model: [a]\nlog-info: off\nmemory-budget: 2GiB\n"
    )
    monkeypatch.setenv("TCLI_CONFIG", "server.yaml")
    monkeypatch.setenv("TCLI_HTTP_PORT", "10")
    monkeypatch.setenv("TCLI_GRPC_PORT", "20")
    monkeypatch.setenv("TCLI_PIN_MODEL", " b; c ;")
    monkeypatch.setenv("TCLI_ID", "")  # an empty variable is none
    shown = options_as_yaml(parsed("--http-port", "100")).splitlines()
    assert {
        "http-port: 100  # command line",
        "grpc-port: 20  # environment TCLI_GRPC_PORT",
        "metrics-port: 3  # server.yaml:4",
        "log-info: false  # server.yaml:6",
        'memory-budget: "2GiB"  # server.yaml:7',
        'id: "triton"  # default',
        "# max-pending-bytes: not set  # default",
    } < {*shown}
    lists = "\n".join(shown)
    assert 'load-model:  # server.yaml:5\n  - "a"\n' in lists
    assert 'pin-model:  # environment TCLI_PIN_MODEL\n  - "b"\n  - "c"\n' in lists


def test_small_and_large_numbers_and_odd_names_are_read_back():
    folder = Path("a\nhttp-port: 7")
    folder.mkdir()
    (folder / "x.yaml").write_text("id: y")
    arguments = ("--idle-unload-secs", "0.00001", "--load-wait-secs", "1e17", "--config", f"{folder}/x.yaml")
    Path("shown.yaml").write_text(options_as_yaml(parsed(*arguments)))
    read_back = parsed("--config", "shown.yaml").params
    assert (read_back["idle_unload_secs"], read_back["load_wait_secs"]) == (1e-5, 1e17)
    assert (read_back["server_id"], read_back["http_port"]) == ("y", 8000)


@pytest.mark.parametrize(("line", "message"), [
    ("http-prot: 1", "http-prot: found 'http-prot', expected an option of this command; fix: did you mean 'http-port'?"),
    ("print-config: true", "found 'print-config', expected an option .*; fix: remove it: it only counts on the command line"),
    ("http-port:", "http-port: found nothing, expected a value; fix: write http-port: 8000, or remove the line"),
    ("http-port: x", "http-port: found 'x': .*; fix: write http-port: 8000"),
    ("workers: 0", "workers: found '0': .*1; fix: write workers: 1"),
    ("http-port: [1]", "http-port: found a list, expected one value; fix: write http-port: 8000"),
    ("load-model: {a: b}", r"found keys and values, expected one value, or a list of them; fix: write load-model: \[NAME\]"),
    ("load-model: [a, [b]]", "load-model: found a list, expected a value"),
    ("? [a]\n: b", "found a list as a key"),
    ("rate-limit: off", 'rate-limit: found off, which YAML takes for false, expected text; fix: write rate-limit: "off"'),
    ("allow-http: yes", "found yes, which YAML takes for true, expected true or false; fix: write allow-http: true"),
    ("http-port: 1e3", "found 1e3, which some take for a number and some for text"),
    ("http-port: 017", "found 017, which YAML takes for 15, expected a plain decimal number"),
    ("http-port: 0o17", "found 0o17, which some take for a number"),
    ("id: 1_000", 'found 1_000, which YAML takes for 1000.*if it is text: write id: "1_000"'),
    ("id: 1:30", "found 1:30, which YAML takes for 90"),
    ("idle-unload-secs: .inf", "found .inf, which YAML takes for inf"),
    ("model-store: a\nmodel-repository: b", "model-repository: found it again, expected it once"),
    ("http-port: 1\nhttp_port: 2", r"http_port: found it again, expected it once \(line 2 has it\); fix: remove one"),
    ("trace-level: [", "no YAML"),
    ("http-port: &a 1\ngrpc-port: *a", "an alias"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_line(line: str, message: str, capsys: pytest.CaptureFixture[str]):
    Path("bad.yaml").write_text(f"log-verbose: 1\n{line}\n")
    with pytest.raises(typer.Exit) as end:
        parsed("--config=bad.yaml", "--http-port=1")
    assert end.value.exit_code == 2
    last = 1 + len(line.splitlines())
    (told,) = capsys.readouterr().err.splitlines()
    assert re.match(rf"error: bad\.yaml:[2-{last + 1}]: .*{message}", told), told


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Path("bad.yaml").write_text("http-port: x\nworkers: 1e3\nid: on\nlog-verbose: -1\nlog-inof: true\n")
    monkeypatch.setenv("TCLI_ALLOW_HTTP", "maybe")
    with pytest.raises(typer.Exit):
        parsed("--config=bad.yaml")
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "environment TCLI_ALLOW_HTTP", "bad.yaml:1", "bad.yaml:2", "bad.yaml:3", "bad.yaml:4", "bad.yaml:5",
    ]  # fmt: skip


def test_variables_that_are_nearly_options_are_warned_of_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TCLI_HTTP_PROT", "1")
    monkeypatch.setenv("TCLI_METRICS_PORT", "tcp://10.0.0.1:80")  # what Kubernetes sets for a service tcli-metrics
    for variable in (
        "REPOSITORY",
        "REPLICAS",
        "CPUS",
        "TEST_ALONE",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "PORT_8000_TCP_ADDR",
    ):
        monkeypatch.setenv(f"TCLI_{variable}", "x")
    assert settings(parsed()) == settings(parsed("--metrics-port=8002"))
    told = [*dict.fromkeys(capsys.readouterr().err.splitlines())]
    assert told[0] == "warning: TCLI_HTTP_PROT in the environment is no option; did you mean TCLI_HTTP_PORT?"
    assert re.match(r"warning: TCLI_METRICS_PORT=tcp://\S+ in the environment is of a Kubernetes service", told[1])
    assert len(told) == 2


def test_options_that_only_tritonserver_has_are_judged_there_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Path("server.yaml").write_text("http-thread-count: 8\nstrict-model-config: true\n")
    monkeypatch.setenv("TCLI_ENABLE_PEER_ACCESS", "true")
    ctx = parsed("--config=server.yaml")
    assert bool(ctx.params["disable_auto_complete_config"])
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "server.yaml:1", "server.yaml:2", "environment TCLI_ENABLE_PEER_ACCESS",
    ]  # fmt: skip
    Path("server.yaml").write_text('model-load-gpu-limit: "0:0.5"\n')
    with pytest.raises(typer.Exit) as end:
        parsed("--config=server.yaml")
    assert end.value.exit_code == 1
    refusal = "error: server.yaml:1: model-load-gpu-limit: --model-load-gpu-limit is not supported; fix:"
    assert refusal in capsys.readouterr().err


def test_vertex_ai_s_variables_are_weaker_than_all_that_is_said_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIP_MODE", "PREDICTION")
    monkeypatch.setenv("AIP_HTTP_PORT", "8090")
    Path("server.yaml").write_text("allow-grpc: true\n")
    shown = {*options_as_yaml(parsed("--config=server.yaml")).splitlines()}
    assert {
        "allow-vertex-ai: true  # environment AIP_MODE",
        "allow-http: false  # environment AIP_MODE",
        "allow-grpc: true  # server.yaml:1",
        "vertex-ai-port: 8090  # environment AIP_HTTP_PORT",
    } < shown


def test_a_container_of_vertex_ai_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "two"):
        write_model(tmp_path / "models", name, onnx_models.identity())
    variables = {"MODE": "PREDICTION", "HTTP_PORT": "0", "PREDICT_ROUTE": "/predict", "HEALTH_ROUTE": "/health"}
    for variable, value in (*variables.items(), ("STORAGE_URI", str(tmp_path / "models"))):
        monkeypatch.setenv(f"AIP_{variable}", value)
    done = serve(*FREE_PORTS)
    assert done.returncode == 1
    assert "Vertex AI asks one model, and the repository has 2: one, two" in done.stderr
    with serving("--vertex-ai-default-model=two") as server:
        assert server.ports.keys() == {"Metrics"}
        (port,) = re.findall(r"^Vertex AI +127\.0\.0\.1:(\d+)$", server.output, re.MULTILINE)
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"inputs": [tensor]})
        assert answer.json()["model_name"] == "two"


def test_print_config_starts_nothing_and_finds_what_does_not_go_together():
    Path("server.yaml").write_text("model-repository: nowhere\nmemory-budget: 2Gibi\n")
    done = serve("--config=server.yaml", "--model-control-mode=on-demand", "--print-config")
    assert done.returncode == 2
    assert "Invalid value for --memory-budget (server.yaml:2): '2Gibi': expected bytes" in done.stderr
    Path("server.yaml").write_text("model-repository: nowhere\nhttp-port: 8001\n")
    done = serve("--config=server.yaml", "--print-config", "hf:nobody/nothing")
    assert done.returncode == 1
    assert "--grpc-port and --http-port are both 8001" in done.stderr
    assert "where: --http-port is from server.yaml:2" in done.stderr
    done = serve("--config=server.yaml", "--config", "more.yaml", "--print-config")
    assert (done.returncode, "--config is there more than once" in done.stderr) == (2, True)
    done = serve("--config=server.yaml", "--grpc-port=1", "--log-file=nowhere/log", "--print-config")
    assert done.returncode == 1
    assert "--log-file: cannot write 'nowhere/log': there is no folder nowhere; fix: " in done.stderr
    done = serve("--config=server.yaml", "--grpc-port=1", "--access-log=log", "--print-config")
    assert (done.returncode, done.stderr, Path("log").exists()) == (0, "", False)
    assert yaml.safe_load(done.stdout)["model-repository"] == ["nowhere"]


def test_a_server_is_what_file_and_environment_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    monkeypatch.setenv("TCLI_ID", "from-environment")
    Path("server.yaml").write_text("model-repository: [models]\nid: from-file\nallow-grpc: false\nhttp-port: 1\n")
    with serving("--config=server.yaml") as server:  # the free ports of the command line go before
        assert httpx.get(f"http://{server.url('HTTP')}/v2").json()["name"] == "from-environment"
        assert server.ports.keys() == {"HTTP", "Metrics"}
