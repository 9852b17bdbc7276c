"""However an analysis of a model on a server ends, or the server does, the model's own configuration comes back."""

import os
import re
import signal
import socket
import threading
import time

import psutil
import pytest

import onnx_models
from python_models import IDENTITY, write_python_model
from remote_analysis import analyzing, guardian_of
from repositories import add_sub_config, write_model
from serve_command import serving
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.ground.remote import remote_ground
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.options import AnalysisOptions, RemoteServer
from tcli_analyzer.remote.errors import ServerGoneError
from tcli_analyzer.remote.loaded import as_json
from tcli_client import ClientError, connect
from waiting import until

pytestmark = pytest.mark.long

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02)
LONG = VisitOptions(seconds=600)
RANDOM = RandomSource({"INPUT0": (16,), "INPUT1": (16,)})
EXPLICIT = "--model-control-mode=explicit"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("endings")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    return repository


@pytest.fixture(scope="module")
def explicit(repository):
    with serving("--model-repository", repository, EXPLICIT) as served:
        yield served


@pytest.fixture
def server(explicit):
    with connect(explicit.url("HTTP")) as server:
        server.unload("add_sub")
        server.load("add_sub")
        yield server


def bench_of(served, **options):
    return RemoteBench(served.url("HTTP"), "add_sub", threading.Event(), RANDOM, **options)


def configuration(bench, size):
    return Configuration(f"batch {size}", size, 1, vary(bench.complete, size, 1))


def has(url, config):
    """Whether the model at a server that may be gone has this configuration."""
    with connect(url) as server:
        try:
            return server.model_config("add_sub") == config
        except ClientError:
            return False


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# --- our end ---


@pytest.mark.parametrize("protocol", ["HTTP", "gRPC"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_analysis_that_is_ended_by_a_signal(explicit, server, how, protocol):
    before = server.model_config("add_sub")
    with analyzing(f"{protocol.lower()}://{explicit.url(protocol)}", "add_sub") as process:
        guardian = guardian_of(process)
        assert server.model_config("add_sub") != before
        process.send_signal(how)
        process.wait()
        until(lambda: has(explicit.url("HTTP"), before))  # for a moment nothing is loaded
        until(lambda: not runs(guardian), "the guardian stays")
        assert process.returncode != 0


def test_an_override_comes_back_after_a_kill(explicit, server):
    server.load("add_sub", as_json(vary(server.model_config("add_sub"), 5, 2)))
    before = server.model_config("add_sub")
    with analyzing(explicit.url("HTTP"), "add_sub") as process:
        guardian = guardian_of(process)
        process.kill()
        until(lambda: not runs(guardian))
    assert server.model_config("add_sub") == before


def test_what_was_not_loaded_is_unloaded_after_a_kill(explicit, server):
    server.unload("add_sub")
    with analyzing(explicit.url("HTTP"), "add_sub") as process:
        guardian = guardian_of(process)
        process.kill()
        until(lambda: not runs(guardian))
    assert not server.model_ready("add_sub")


def test_nothing_is_put_back_while_the_analysis_goes_on(explicit, server):
    before = server.model_config("add_sub")
    with bench_of(explicit) as bench:
        bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
        mine = server.model_config("add_sub")
        bench.visit(configuration(bench, 2), ClosedLoad(1), VisitOptions(seconds=2))
        assert server.model_config("add_sub") == mine != before


def test_the_next_analysis_waits_for_the_guardian_of_one_that_was_killed(explicit, server):
    before = server.model_config("add_sub")
    with analyzing(explicit.url("HTTP"), "add_sub") as process:
        guardian = guardian_of(process)
        os.kill(guardian, signal.SIGSTOP)  # as one that is slow
        process.kill()
        process.wait()
        threading.Timer(0.5, os.kill, (guardian, signal.SIGCONT)).start()
        with bench_of(explicit) as bench:
            assert bench.complete == before


def test_an_exception_in_the_middle(explicit, server):
    before = server.model_config("add_sub")

    def fail():
        with bench_of(explicit) as bench:
            bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert server.model_config("add_sub") == before


@pytest.mark.parametrize("again", [False, True])
def test_a_guardian_that_somebody_kills_is_missed_by_nobody(explicit, server, again):
    before = server.model_config("add_sub")
    with bench_of(explicit) as bench:
        bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
        killed = bench.guardian
        os.kill(killed, signal.SIGKILL)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)  # all its threads: until then its pipe takes what is said
        if again:
            bench.visit(configuration(bench, 4), ClosedLoad(1), QUICK)
            assert runs(bench.guardian)
    assert bench.restoration.done
    assert server.model_config("add_sub") == before
    until(lambda: not [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE])


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A repository whose model takes a while to load in an analysis."""
    repository = tmp_path_factory.mktemp("slow")
    write_python_model(
        repository,
        "slow",
        "import time\n"
        + IDENTITY
        + """
    def initialize(self, args):
        if "tcli_analysis" in args["model_config"]:
            time.sleep(3)
""",
    )
    return repository


def await_load(served, stubs):
    """Wait until a server is at a load of a Python model: it has another process then."""
    running = psutil.Process(served.process.pid)
    until(lambda: len(running.children(recursive=True)) > stubs, "no load begins")


def test_a_kill_while_the_server_is_at_a_load(slow):
    """It ends the load after the end of who asked for it."""
    loads = serving("--model-repository", slow, EXPLICIT, "--load-model=slow")
    with loads as served, connect(served.url("HTTP")) as server:
        before = server.model_config("slow")
        stubs = len(psutil.Process(served.process.pid).children(recursive=True))
        with analyzing(served.url("HTTP"), "slow") as process:
            await_load(served, stubs)
            children = psutil.Process(process.pid).children()
            process.kill()
            until(lambda: not any(runs(child.pid) for child in children), "the guardian stays")
        assert server.model_config("slow") == before


def test_who_stops_need_not_wait_for_a_load_and_it_is_undone(slow):
    loads = serving("--model-repository", slow, EXPLICIT, "--load-model=slow")
    with loads as served, connect(served.url("HTTP")) as server:
        before = server.model_config("slow")
        stop = threading.Event()
        with RemoteBench(served.url("HTTP"), "slow", stop, RandomSource({"INPUT0": (4,)})) as bench:
            threading.Timer(1.0, stop.set).start()
            with pytest.raises(Stopped):
                bench.visit(configuration(bench, 0), ClosedLoad(1), LONG)
        assert server.model_config("slow") == before


# --- the server's end ---


def test_a_server_that_ends_and_comes_back_is_a_result(repository):
    """Its model was loaded by the load API only, so it comes back without it."""
    failures, visited = [], []
    with serving("--model-repository", repository, EXPLICIT) as served:
        with connect(served.url("HTTP")) as server:
            server.load("add_sub")
            before = server.model_config("add_sub")
        port = served.ports["HTTP"]
        with bench_of(served) as bench:
            small, large = configuration(bench, 1), configuration(bench, 4)
            bench.visit(small, ClosedLoad(1), QUICK)

            def go_on():
                try:
                    bench.visit(large, ClosedLoad(1), LONG)
                except CannotMeasureError as error:
                    failures.append(str(error))
                visited.extend(bench.visit(large, ClosedLoad(1), QUICK))

            going = threading.Thread(target=go_on)
            going.start()
            until(lambda: server_batch(port) == 4)
            served.end(signal.SIGKILL)
            with serving("--model-repository", repository, EXPLICIT, f"--http-port={port}"):
                going.join()
                assert "is back" in failures[0]
                assert visited
                bench.__exit__(None, None, None)
                assert has(f"127.0.0.1:{port}", before)


def test_a_server_that_ends_while_it_loads_is_a_result(slow):
    with serving("--model-repository", slow, EXPLICIT, "--load-model=slow") as served:
        stubs = len(psutil.Process(served.process.pid).children(recursive=True))
        bench = RemoteBench(
            served.url("HTTP"), "slow", threading.Event(), RandomSource({"INPUT0": (4,)}), back_seconds=0.1
        )
        with bench:
            ending = threading.Thread(target=lambda: (await_load(served, stubs), served.process.kill()))
            ending.start()
            with pytest.raises(ServerGoneError, match="has ended"):
                bench.visit(configuration(bench, 0), ClosedLoad(1), QUICK)
            ending.join()
            os.kill(bench.guardian, signal.SIGKILL)  # there is nothing to be put back any more


def server_batch(port):
    with connect(f"127.0.0.1:{port}") as server:
        return server.model_config("add_sub").max_batch_size


def test_an_override_comes_back_on_a_server_that_ended(repository):
    with serving("--model-repository", repository, EXPLICIT, "--load-model=add_sub") as served:
        port = served.ports["HTTP"]
        with connect(served.url("HTTP")) as server:
            server.load("add_sub", as_json(vary(server.model_config("add_sub"), 5, 2)))
            before = server.model_config("add_sub")
        with bench_of(served) as bench:
            mine = configuration(bench, 2)
            bench.visit(mine, ClosedLoad(1), QUICK)
            served.end(signal.SIGKILL)
            with serving("--model-repository", repository, EXPLICIT, f"--http-port={port}"):
                bench._server.close()
                with pytest.raises(CannotMeasureError, match="is back"):
                    bench._server_ended("it ended")
                bench.__exit__(None, None, None)
                assert has(f"127.0.0.1:{port}", before)


@pytest.mark.parametrize("protocol", ["HTTP", "gRPC"])
def test_who_stops_need_not_wait_for_a_stuck_server_and_it_is_undone_later(repository, protocol):
    with serving("--model-repository", repository, EXPLICIT, "--load-model=add_sub") as served:
        url = ("grpc://" if protocol == "gRPC" else "") + served.url(protocol)
        stop = threading.Event()
        bench = RemoteBench(url, "add_sub", stop, RANDOM, guardian_seconds=300)
        with bench:
            original = bench.complete
            bench.visit(configuration(bench, 1), ClosedLoad(1), QUICK)
            served.process.send_signal(signal.SIGSTOP)
            threading.Timer(1, stop.set).start()
            began = time.monotonic()
            with pytest.raises(Stopped):
                bench.visit(configuration(bench, 1), ClosedLoad(1), QUICK)
        assert time.monotonic() - began < 40  # an answer is waited for 60 s
        assert not bench.restoration.done
        served.process.send_signal(signal.SIGCONT)
        until(lambda: has(url, original), "it does not have its own configuration again")


def test_who_stops_need_not_wait_for_a_server_that_came_back_stuck():
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        stop = threading.Event()
        bench = RemoteBench(f"127.0.0.1:{stuck.getsockname()[1]}", "add_sub", stop, RANDOM)
        threading.Timer(0.2, stop.set).start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            bench._server_ended("it ended")
        assert time.monotonic() - began < 40  # an answer is waited for 60 s


def test_a_server_that_stays_away_and_comes_back_after_the_end(repository):
    with serving("--model-repository", repository, EXPLICIT) as served:
        port = served.ports["HTTP"]
        with connect(served.url("HTTP")) as server:
            server.load("add_sub")
            before = server.model_config("add_sub")
        with bench_of(served, back_seconds=0.5, guardian_seconds=300) as bench:
            bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
            served.end(signal.SIGKILL)
            with pytest.raises(ServerGoneError, match=r"was not back within 0.5 s") as gone:
                bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
            assert "--resume" in gone.value.fix
            guardian = bench.guardian
        assert not bench.restoration.done
        assert "as soon as it answers" in bench.restoration.text
        assert "load it with this as the parameter 'config': {" in bench.restoration.text
    assert runs(guardian)
    with serving("--model-repository", repository, EXPLICIT, f"--http-port={port}"):
        until(lambda: has(f"127.0.0.1:{port}", before), "the model is not loaded again")
        until(lambda: not runs(guardian), "the guardian stays")


def test_what_is_not_put_back_is_told_however_an_analysis_ends(repository):
    guardians, warnings = [], []

    def end(served):
        there = RemoteServer(served.url("HTTP"))
        options = AnalysisOptions("add_sub", server=there)
        with remote_ground(options, there, print, warnings.append, threading.Event()) as ground:
            guardians.append(ground.bench.guardian)
            served.end(signal.SIGKILL)
            raise ZeroDivisionError

    served_one = serving("--model-repository", repository, EXPLICIT, "--load-model=add_sub")
    with served_one as served, pytest.raises(ZeroDivisionError):
        end(served)
    os.kill(guardians[0], signal.SIGKILL)
    (warning,) = warnings
    assert re.match(r"what was loaded before as 'add_sub' at \S+ is not put back: no server answers", warning)
    assert "load it with this as the parameter 'config': {" in warning


def test_a_guardian_gives_up_and_says_what_to_do(repository, tmp_path):
    log = tmp_path / "left to do.log"
    with serving("--model-repository", repository, EXPLICIT) as served:
        with connect(served.url("HTTP")) as server:
            server.load("add_sub")
        with bench_of(served, back_seconds=0.1, guardian_seconds=0.5, log=log) as bench:
            bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
            guardian = bench.guardian
            served.end(signal.SIGKILL)
        assert str(log) in bench.restoration.text
    until(lambda: not runs(guardian), "the guardian stays")
    text = log.read_text()
    assert re.search(r"no server answers at .* \(tried for 0.5 s\)", text)
    assert "load it with this as the parameter 'config': {" in text
    assert '"max_batch_size": 8' in text
