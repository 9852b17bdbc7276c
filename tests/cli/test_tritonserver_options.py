"""tritonserver's command lines: its options that mean nothing here are taken with a warning, missing features refused."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from triton_cli.serve import app
from triton_cli.triton_options import sort_arguments
from triton_cli.tritonserver_options import RENAMED, TRITONSERVER_OPTIONS

ALL_OF_TRITONSERVER = """
help id exit-timeout-secs model-store model-repository exit-on-error disable-auto-complete-config strict-readiness
model-control-mode repository-poll-secs load-model model-config-name model-load-thread-count model-load-retry-count
model-namespacing enable-peer-access allow-http http-address http-port reuse-http-port http-header-forward-pattern
http-thread-count http-max-input-size http-restricted-api allow-grpc grpc-address grpc-port reuse-grpc-port
grpc-header-forward-pattern grpc-infer-thread-count grpc-infer-allocation-pool-size grpc-max-response-pool-size
grpc-use-ssl grpc-use-ssl-mutual grpc-server-cert grpc-server-key grpc-root-cert grpc-infer-response-compression-level
grpc-keepalive-time grpc-keepalive-timeout grpc-keepalive-permit-without-calls grpc-http2-max-pings-without-data
grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes grpc-max-connection-age
grpc-max-connection-age-grace grpc-restricted-protocol log-verbose log-info log-warning log-error log-format log-file
allow-sagemaker sagemaker-port sagemaker-safe-port-range sagemaker-thread-count allow-vertex-ai vertex-ai-port
vertex-ai-thread-count vertex-ai-default-model allow-metrics allow-gpu-metrics allow-cpu-metrics metrics-address
metrics-port metrics-interval-ms metrics-config trace-config cache-config cache-directory rate-limit
rate-limit-resource pinned-memory-pool-byte-size cuda-memory-pool-byte-size cuda-virtual-address-size
min-supported-compute-capability buffer-manager-thread-count host-policy model-load-gpu-limit allow-client-shm
backend-directory backend-config repoagent-directory strict-model-config response-cache-byte-size trace-file
trace-level trace-rate trace-count trace-log-frequency
"""
"""What `tritonserver --help` of release 26.07 lists."""


def own_options() -> dict[str, bool]:
    """Each option of `tcli serve`, and whether it is hidden from the help."""
    command = typer.main.get_command(app)
    return {name: param.hidden for param in command.params for name in param.opts} | {"--help": False}


def documented() -> dict[str, str]:
    """What the page says of each option: works, no effect or refused."""
    page = (Path(__file__).parents[2] / "docs" / "tritonserver_options.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| ([a-z ]+) \|", page, re.MULTILINE))


def test_every_option_of_tritonserver_is_known_in_one_place_and_documented_as_it_is():
    own = set(own_options())
    pages = documented()
    assert pages.keys() == {f"--{name}" for name in ALL_OF_TRITONSERVER.split()}
    for option in (f"--{name}" for name in ALL_OF_TRITONSERVER.split()):
        known = [option in own, option in TRITONSERVER_OPTIONS, option in RENAMED]
        assert known.count(True) == 1, option
        foreign = TRITONSERVER_OPTIONS.get(option)
        what = "works" if foreign is None else "refused" if foreign.refused else "no effect"
        assert pages[option] == what, f"docs/tritonserver_options.md says of {option}: {pages[option]}"


@pytest.mark.parametrize("line", [
    "--pinned-memory-pool-byte-size=268435456", "--pinned-memory-pool-byte-size 268435456",
    "--enable-peer-access", "--enable-peer-access false", "--enable-peer-access=OFF",
    "--cuda-memory-pool-byte-size=0:67108864 --cuda-memory-pool-byte-size 1:67108864", "--cache-directory --x",
])  # fmt: skip
def test_an_option_without_effect_is_taken_with_its_value_and_warned_of_once(line: str):
    found = sort_arguments(["--id=a", *shlex.split(line), "--log-info", "--id", "--http-thread-count"], {"--id"})
    assert found.known == ["--id=a", "--log-info", "--id", "--http-thread-count"]
    assert [*found.warnings] == [line.split("=")[0].split()[0]]
    assert not found.refusals


@pytest.mark.parametrize("line", [
    "--model-load-gpu-limit 0:0.5",
])  # fmt: skip
def test_a_missing_feature_is_refused_with_what_to_do(line: str):
    found = sort_arguments(shlex.split(line), set())
    (refusal,) = found.refusals.items()
    assert refusal[0] == line.split("=")[0].split()[0]
    assert refusal[1].startswith("leave it out")
    assert not found.known


def test_a_deprecated_name_is_its_new_one():
    found = sort_arguments(["--strict-model-config=true"], set())
    assert found.known == ["--disable-auto-complete-config=true"]
    assert found.warnings == {
        "--strict-model-config": "--strict-model-config is deprecated; fix: write --disable-auto-complete-config"
    }


def test_what_nobody_knows_is_left_to_be_refused():
    assert sort_arguments(["--frobnicate", "1"], set()).known == ["--frobnicate", "1"]
