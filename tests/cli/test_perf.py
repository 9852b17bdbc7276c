"""`tcli perf` as a user runs it, against a real server over both protocols."""

import csv
import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import forked_command
import onnx_models
from decoupled_python_models import write_decoupled_models
from python_models import write_python_model
from repositories import add_sub_config, write_model
from sequence_models import sums, sums_config
from serve_command import serving

QUICK = ("-p", "50", "-r", "3", "-s", "10000")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("perf")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    write_decoupled_models(repository)
    write_model(repository, "sums", sums(), sums_config())
    write_python_model(
        repository,
        "any",
        "class TritonPythonModel:\n    def execute(self, requests):\n        return [pb_utils.InferenceResponse([pb_utils.Tensor('OUTPUT0', pb_utils.get_input_tensor_by_name(r, 'INPUT0').as_numpy())]) for r in requests]\n",
    )
    with serving("--model-repository", repository) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def where(server, request):
    return "-i", request.param, "-u", server.url({"http": "HTTP", "grpc": "gRPC"}[request.param])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "triton_cli", "perf", *map(str, arguments)]


def perf(*arguments: object) -> subprocess.CompletedProcess[str]:
    return forked_command.run("perf", *arguments)


def test_a_range_of_concurrencies(where, tmp_path: Path):
    table, export = tmp_path / "out.csv", tmp_path / "out.json"
    ran = perf(
        "-m", "add_sub", *where, *QUICK, "--concurrency-range", "1:5:2", "-f", table, "--profile-export-file", export
    )
    assert ran.returncode == 0, ran.stderr
    for expected in (
        "*** Measurement Settings ***",
        "  Batch size: 1\n",
        "Request concurrency: 3\n",
        "    Throughput: ",
        "    p99 latency: ",
        "    Inference count: ",
        "compute infer ",
        "  Generator:\n",
        "    Disturbance: ",
        "Inferences/Second vs. Client Average Batch Latency\nConcurrency: 1, throughput: ",
    ):
        assert expected in ran.stdout
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["Concurrency"] for row in rows} == {"1", "3", "5"}
    rates = [float(row["Inferences/Second"]) for row in rows]
    assert rates == sorted(rates)
    assert all(int(row["p50 latency"]) > 0 for row in rows)
    document = json.loads(export.read_text())
    assert [each["experiment"]["value"] for each in document["experiments"]] == [1, 3, 5]
    for each in document["experiments"]:
        sent = each["requests"][0]
        assert sent["timestamp"] < sent["response_timestamps"][0]
        assert abs(sent["timestamp"] / 1e9 - time.time()) < 300


def test_a_request_rate(where, tmp_path: Path):
    table = tmp_path / "out.csv"
    ran = perf(
        "-m", "add_sub", *where, *QUICK, "--request-rate-range", "100", "--request-distribution", "poisson", "-f", table
    )
    assert ran.returncode == 0, ran.stderr
    assert "Request Rate: 100 inference requests per second" in ran.stdout
    assert "Sent late: p99" in ran.stdout
    assert "waiting to be sent" in ran.stdout
    assert table.read_text().startswith("Request Rate,Inferences/Second,")


def test_recorded_gaps(where, tmp_path: Path):
    gaps = tmp_path / "gaps.txt"
    gaps.write_text("2000\n6000\n")
    ran = perf("-m", "add_sub", *where, "--request-intervals", gaps, "--request-count", "20")
    assert ran.returncode == 0, ran.stderr
    assert "Request count: 20\n" in ran.stdout
    assert "Request Rate: 250 " in ran.stdout


def test_batches_and_an_exact_count(where):
    ran = perf(
        "-m", "add_sub", *where, "-b", "4", "--concurrency-range", "2", "--request-count", "30",
        "--warmup-request-count", "5", "--input-data", "zero", "--async", "--max-threads", "3",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Request count: 30\n" in ran.stdout
    assert "Inference count: 120\n" in ran.stdout
    assert "not enough samples" in ran.stdout


def test_the_latency_threshold_ends_the_range(where):
    ran = perf("-m", "add_sub", *where, *QUICK, "--concurrency-range", "1:0", "-l", "0.0001", "--percentile", "97")
    assert ran.returncode == 0, ran.stderr
    assert "over the limit" in ran.stdout
    assert "latency is above the limit" in ran.stderr
    assert "p97 latency: " in ran.stdout
    assert "Request concurrency: 2" not in ran.stdout


def test_a_binary_search(where):
    ran = perf(
        "-m", "add_sub", *where, *QUICK, "--concurrency-range", "1:4", "-l", "60000", "--binary-search"
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Request concurrency: 4" in ran.stdout
    assert "Request concurrency: 2" not in ran.stdout


def test_not_stable(where):
    ran = perf("-m", "add_sub", *where, "-p", "20", "-r", "3", "-s", "0.000001")
    assert ran.returncode == 2
    assert "(not stable" in ran.stdout
    assert "--measurement-interval" in ran.stderr


def test_tensors_as_json(server):
    for option in ("--input-tensor-format", "--output-tensor-format"):
        ran = perf("-m", "add_sub", "-u", server.url("HTTP"), *QUICK, option, "json")
        assert ran.returncode == 0, ran.stderr


def test_streams(server):
    where = ("-i", "grpc", "-u", server.url("gRPC"), "--streaming", "--concurrency-range", "2")
    ran = perf("-m", "add_sub", *where, *QUICK)
    assert ran.returncode == 0, ran.stderr
    ran = perf("-m", "repeat", *where, "--shape", "IN:3", "--request-count", "10")
    assert ran.returncode == 0, ran.stderr
    requests = float(ran.stdout.split("    Throughput: ")[1].split()[0])
    responses = float(ran.stdout.split("Response throughput: ")[1].split()[0])
    assert responses == pytest.approx(3 * requests, rel=1e-3)


def test_compression_headers_and_parameters(where):
    more = ("--grpc-compression-algorithm", "gzip") if "grpc" in where else ()
    ran = perf(
        "-m", "add_sub", *where, *QUICK, *more, "-H", "X-Test: 1", "--request-parameter", "tag:3:int",
        "--request-parameter", "word:a:b:string",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    ran = perf("-m", "add_sub", *where, "--request-count", "3", "--request-parameter", "triton_x:3:int")
    assert ran.returncode == 99
    assert "triton_" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--concurrency-range", "4:1"), "END must be at least START"),
        (("--concurrency-range", "1:0"), "--latency-threshold"),
        (("--concurrency-range", "1", "--request-rate-range", "5"), "exclude each other"),
        (("--request-rate-range", "x"), "not a number"),
        (("--request-intervals", "nothing.txt"), "nothing.txt: No such file"),
        (("--binary-search",), "--binary-search needs"),
        (("--percentile", "100"), "1 to 99"),
        (("--measurement-interval", "0"), "above 0"),
        (("--stability-percentage", "-1"), "above 0"),
        (("--request-count", "3", "--concurrency-range", "1:4"), "single"),
        (("--request-count", "3", "--concurrency-range", "4"), "at least 4"),
        (("--shape", "INPUT0"), "NAME:d1,d2"),
        (("--shape", "INPUT0:0"), "above 0"),
        (("-H", "x"), "NAME:VALUE"),
        (("--sequence-id-range", "5:5"), "above START"),
        (("--sequence-id-range", "x"), "whole numbers"),
        (("--sequence-id-range", "1:3", "--concurrency-range", "1:3"), "the ids 1 to 2 are too few for 3"),
        (("--sequence-id-range", "1:3", "--request-rate-range", "9"), "fewer sequences with --num-of-sequences"),
        (("--sequence-id-range", f"{1 << 64}:{3 << 64}"), "ids go up to"),
        (("--sequence-id-range", f"{1 << 32}"), "where there is no END"),
        (("--start-sequence-id", f"{1 << 32}"), "expected at most 4294967295"),
        (("--start-sequence-id", "4294967295", "--concurrency-range", "2"), "are too few for 2"),
        (("--request-parameter", "a:b:int"), "NAME:VALUE:TYPE"),
        (("--streaming",), "-i grpc"),
        (("--grpc-compression-algorithm", "gzip"), "-i grpc"),
        (("-i", "grpc", "--input-tensor-format", "json"), "over HTTP"),
        (("--service-kind", "openai"), "leave it out"),
        (("--sync", "--async"), "exclude each other"),
        (("-u", "ftp://x"), "ftp://"),
        (("--concurency-range", "1"), "--concurency-range"),
        (("-b", "zero"), "--batch-size"),
        (("--shared-memory", "system"), "binary data"),
        (("--periodic-concurrency-range=1:4",), "--request-intervals"),
        (("-t", "4"), "--concurrency-range"),
        (("--collect-metrics",), "/metrics"),
        (("--profile-export-file", sys.executable), "already"),
        (("-p", "inf"), "a day at most"),
        (("--timeout", "inf"), "--timeout"),
        (("--request-rate-range", "1e300"), "at most"),
        (("--concurrency-range", "1000000000000"), "at most"),
        (("-m", ""), "name of a model"),
        (("-x", "two"), "number of a version"),
        (("-H", "X-Test:€"), "cannot be sent"),
        (("-H", "Content-Length:5"), "leave it out"),
        (("-i", "grpc", "-H", "X-Test:ü"), "cannot be sent"),
        (("-i", "grpc", "-H", "x-bin:1"), "binary metadata"),
        (("--request-parameter", f"a:{1 << 63}:int"), "NAME:VALUE:TYPE"),
        (("--request-parameter", "a:inf:float"), "NAME:VALUE:TYPE"),
        (("--request-parameter", ":1:int"), "NAME:VALUE:TYPE"),
    ],
)
def test_wrong_options(arguments, words):
    ran = perf("-m", "add_sub", *arguments)
    assert ran.returncode == 3, ran.stderr
    assert words in " ".join(ran.stderr.replace("│", "").split())
    assert not ran.stdout


def test_the_model_must_be_said():
    assert perf().returncode == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-m", "nothing"), "nothing"),
        (("-m", "add_sub", "-x", "7"), "7"),
        (("-m", "add_sub", "-b", "9"), "at most 8"),
        (("-m", "any", "-b", "2"), "takes no batches"),
        (("-m", "any"), "--shape INPUT0:1"),
        (("-m", "add_sub", "--shape", "NOPE:3"), "NOPE"),
        (("-m", "add_sub", "--input-data", "/nothing/there"), "/nothing/there"),
        (("-m", "add_sub", "-f", "/nothing/there/x.csv"), "/nothing/there"),
    ],
)
def test_what_cannot_be_measured(where, arguments, words):
    ran = perf(*arguments, *where)
    assert ran.returncode == 99, ran.stderr
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for protocol in ("http", "grpc"):
        ran = perf("-m", "add_sub", "-i", protocol, "-u", f"127.0.0.1:{port}")
        assert ran.returncode == 99
        assert f"127.0.0.1:{port}" in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk")
def test_a_full_disk_costs_only_what_is_on_it(server, tmp_path: Path):
    export = tmp_path / "out.json"
    ran = perf("-m", "add_sub", "-u", server.url("HTTP"), *QUICK, "-f", "/dev/full", "--profile-export-file", export)
    assert ran.returncode == 99
    assert "cannot write /dev/full: No space left on device" in ran.stderr
    assert json.loads(export.read_text())["experiments"][0]["requests"]


@pytest.mark.parametrize(
    ("both", "options", "status"), [(False, QUICK, 0), (True, ("-p", "20", "-r", "3", "-s", "1e-6"), 2)]
)
def test_who_reads_may_have_enough(server, tmp_path: Path, both, options, status):
    """As `| head -1`, or `2>&1 | head -1`, does: what was asked for is measured and written all the same."""
    table = tmp_path / "out.csv"
    process = subprocess.Popen(
        command("-m", "add_sub", "-u", server.url("HTTP"), *options, "-f", table),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "*** Measurement Settings ***\n"
    process.stdout.close()
    errors = process.stderr.read() if process.stderr is not None else ""
    assert process.wait(60) == status, errors
    assert "Traceback" not in errors
    assert len(table.read_text().splitlines()) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_below_the_output_costs_no_other_file(server, tmp_path: Path):
    """No file may be larger than a MiB, which the one of the output is after some lines."""
    shown, table = tmp_path / "shown.txt", tmp_path / "out.csv"
    with shown.open("w") as file:
        file.truncate((1 << 20) - 600)
    asked = shlex.join(command("-m", "add_sub", "-u", server.url("HTTP"), *QUICK, "-f", table))
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -f 1024; {asked} >> {shlex.quote(str(shown))}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 99
    assert ran.stderr.endswith("error: the output cannot be written: File too large\n")
    assert "*** Measurement Settings ***" in shown.read_text()
    assert len(table.read_text().splitlines()) == 2


def test_what_cannot_be_written_is_said_before_the_measurement(server, tmp_path: Path):
    ran = perf("-m", "add_sub", "-u", server.url("HTTP"), *QUICK, "-f", tmp_path)
    assert ran.returncode == 99
    assert "it is a folder" in ran.stderr
    assert "Throughput" not in ran.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
@pytest.mark.parametrize("protocol", ["HTTP", "gRPC"])
@pytest.mark.parametrize("begun", [False, True])
def test_ctrl_c_does_not_wait_for_a_stuck_server(tmp_path: Path, protocol, begun):
    write_model(tmp_path, "add_sub", onnx_models.add_sub())
    with serving("--model-repository", tmp_path) as stuck:
        where = ("-i", protocol.lower(), "-u", stuck.url(protocol))
        if not begun:
            stuck.process.send_signal(signal.SIGSTOP)
        process = subprocess.Popen(
            command("-m", "add_sub", *where, "-p", "10", "-r", "100000", "-s", "0.000001", "-v"),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        if begun:
            while "Pass [3]" not in process.stdout.readline():
                pass
            stuck.process.send_signal(signal.SIGSTOP)
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)  # it starts, and asks: Ctrl-C is to work at both times
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=40) == 130  # an answer is waited for 60 s
            assert ("Throughput" in process.stdout.read()) is begun
        finally:
            process.kill()
            stuck.process.send_signal(signal.SIGCONT)
            process.wait()


def test_sequences(where):
    ran = perf(
        "-m", "sums", *where, "--request-count", "40", "--concurrency-range", "2", "--sequence-length", "5",
        "--sequence-id-range", "10:30", "--serial-sequences",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert 40 <= int(ran.stdout.split("Request count: ")[1].split()[0]) <= 42
    ran = perf("-m", "sums", *where, *QUICK, "--request-rate-range", "100", "--num-of-sequences", "3")
    assert ran.returncode == 0, ran.stderr


def test_a_range_without_an_end_goes_as_far_as_there_are_ids(server):
    ran = perf(
        "-m", "sums", "-u", server.url("HTTP"), *QUICK, "--concurrency-range", "1:0", "-l", "60000",
        "--sequence-id-range", "1:3",
    )  # fmt: skip
    assert ran.returncode == 99, ran.stderr
    assert "the ids 1 to 2 are too few for 3" in ran.stderr
    assert "\nConcurrency: 2, throughput: " in ran.stdout


def test_more_at_once_than_a_shell_allows_files(where):
    asked = shlex.join(command("-m", "add_sub", *where, "--concurrency-range", "400", "--request-count", "1000"))
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -Sn 256; {asked}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "Request count: 1000\n" in ran.stdout


def test_more_at_once_than_there_may_be_connections_is_told(server):
    asked = shlex.join(
        command("-m", "add_sub", "-u", server.url("HTTP"), "--concurrency-range", "150", "--request-count", "300")
    )
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -n 300; {asked}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "warning: of 150 requests at once 100 are at the server" in ran.stderr


def test_an_input_of_any_size(where):
    for option, text in (("--shape", "INPUT0:5"), ("--input-data", "INPUT0:5")):
        ran = perf("-m", "any", *where, option, text, "--request-count", "4")
        assert ran.returncode == 0, ran.stderr


def test_given_data(where, tmp_path: Path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"data": [{"INPUT0": [1.0] * 16, "INPUT1": [2.0] * 16}] * 3}))
    ran = perf("-m", "add_sub", *where, "--input-data", file, "--request-count", "6")
    assert ran.returncode == 0, ran.stderr
    assert "3 items" in ran.stdout
    file.write_text('{"data": [{"INPUT0": [1.0]}]}')
    ran = perf("-m", "add_sub", *where, "--input-data", file)
    assert ran.returncode == 99
    assert "INPUT0" in ran.stderr


def test_ctrl_c_keeps_what_was_measured(where, tmp_path: Path):
    table = tmp_path / "out.csv"
    process = subprocess.Popen(
        command("-m", "add_sub", *where, "-p", "60000", "-f", table),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in process.stdout:
        if line.startswith("Request concurrency"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "    Request count: " in out
    assert "stopped: " in errors
    assert len(table.read_text().splitlines()) == 2


def test_a_server_that_ends_under_load(tmp_path: Path):
    """The windows until then are shown and written."""
    table, export = tmp_path / "out.csv", tmp_path / "out.json"
    write_model(tmp_path / "models", "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    with serving("--model-repository", tmp_path / "models") as running:
        process = subprocess.Popen(
            command(
                "-m", "add_sub", "-u", running.url("HTTP"), "-p", "50", "-r", "100000", "-s", "0.000001", "-v",
                "-f", table, "--profile-export-file", export,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        for line in process.stdout:
            if "Pass [2]" in line:
                break
        running.process.kill()
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 99
    assert "127.0.0.1" in errors
    assert "these are the windows until then" in errors
    assert "    Request count: " in out
    assert len(table.read_text().splitlines()) == 2
    assert json.loads(export.read_text())["experiments"][0]["requests"]
    assert "Traceback" not in errors


@pytest.mark.parametrize("width", [80, 50])
def test_it_fits_a_terminal(server, width):
    shown = on_terminal(width, "-m", "add_sub", "-u", server.url("HTTP"), *QUICK, "--request-rate-range", "50")
    lines = shown.replace("\r", "").splitlines()
    assert any("compute infer" in line for line in lines)
    assert [line for line in lines if len(line) > width and "warning:" not in line] == []


def on_terminal(width: int, *arguments: object) -> str:
    """What a terminal of this width shows."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(command(*arguments), stdout=theirs, stderr=subprocess.DEVNULL, env=env)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:
        pass  # the other end is closed
    assert process.wait(60) == 0
    os.close(ours)
    return shown.decode()
