"""A model on a server is measured in other configurations, and has its own again afterwards."""

import resource
import threading

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, write_model
from serve_command import serving
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.evidence.disturbance import Disturbance, ProcessorMeter
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.remote.connections import MOST_CONNECTIONS
from tcli_analyzer.remote.errors import ForeignChangeError, RemoteError
from tcli_analyzer.remote.generator import Generator
from tcli_analyzer.remote.loaded import as_json
from tcli_client import Inference, connect
from waiting import until

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02, longest=1000)  # ends by its answers
COUNTED = VisitOptions(windows=2, seconds=0.3, warm_up_seconds=0.02, longest=1000)
RANDOM = RandomSource({"INPUT0": (16,), "INPUT1": (16,)})


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("remote")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    return repository


@pytest.fixture(scope="module")
def explicit(repository):
    with serving("--model-repository", repository, "--model-control-mode=explicit") as served:
        yield served


@pytest.fixture
def server(explicit):
    """The model is loaded from its folder."""
    with connect(explicit.url("HTTP")) as server:
        server.unload("add_sub")
        server.load("add_sub")
        yield server


def bench_of(served, protocol="http", **options):
    url = served.url("gRPC" if protocol == "grpc" else "HTTP")
    return RemoteBench(url, "add_sub", threading.Event(), RANDOM, protocol, **options)


def configuration(bench, size, instances=1):
    return Configuration(f"batch {size}", size, instances, vary(bench.complete, size, instances))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_configurations_are_measured_and_the_folders_own_comes_back(explicit, server, repository, protocol):
    before = server.model_config("add_sub")
    with bench_of(explicit, protocol) as bench:
        assert bench.complete == before
        small, large = configuration(bench, 1), configuration(bench, 4, 2)
        counted = Windows(bench.visit(small, ClosedLoad(4), COUNTED)).counters
        assert counted.inferences == pytest.approx(counted.executions, abs=4)  # each caller's may be half counted
        assert counted.executions > 20
        assert server.model_config("add_sub").max_batch_size == 1
        assert bench.visit(large, ClosedLoad(4), QUICK)[0].throughput > 0
        there = server.model_config("add_sub")
        assert (there.max_batch_size, there.instance_group[0].count) == (4, 2)
    assert bench.restoration is not None
    assert bench.restoration.done
    assert server.model_config("add_sub") == before
    # and it is the folder's, no override of the same content, which would stay in force
    config = repository / "add_sub" / "config.pbtxt"
    own = config.read_text()
    try:
        config.write_text(add_sub_config(max_batch_size=3))
        server.load("add_sub")
        assert server.model_config("add_sub").max_batch_size == 3
    finally:
        config.write_text(own)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="looks at the limits of another process")
def test_the_load_has_as_many_connections_as_it_may_allow_itself(explicit, server):
    """A shell often allows 1,024 files: requests beyond them would wait in the load generator."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual, wanted = (few if most < 0 else min(few, most) for few in (1024, MOST_CONNECTIONS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
    try:
        with Generator(explicit.url("HTTP"), "add_sub", RANDOM, threading.Event()) as generator:
            generator.visit(server.model_config("add_sub"), ClosedLoad(1), QUICK)
            files, _ = resource.prlimit(generator.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    assert files < 0 or files >= wanted


def test_what_the_load_api_had_given_comes_back(explicit, server):
    given = vary(server.model_config("add_sub"), 5, 2)
    server.load("add_sub", as_json(given))
    before = server.model_config("add_sub")
    with bench_of(explicit) as bench:
        bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
    assert server.model_config("add_sub") == before
    assert before.max_batch_size == 5


def test_what_was_not_loaded_is_unloaded(explicit, server):
    server.unload("add_sub")
    with bench_of(explicit) as bench:
        assert bench.complete.max_batch_size == 8
        bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)
        assert server.model_ready("add_sub")
    assert not server.model_ready("add_sub")


def test_what_was_not_loaded_is_unloaded_even_if_nothing_was_measured(explicit, server):
    server.unload("add_sub")
    with bench_of(explicit):
        assert server.model_ready("add_sub")
    assert not server.model_ready("add_sub")


def test_a_configuration_that_the_server_refuses_is_a_result(explicit, server):
    before = server.model_config("add_sub")
    with bench_of(explicit) as bench:
        wrong = configuration(bench, 4)
        wrong.config.input[0].dims[0] = 77
        good = configuration(bench, 2)
        for _ in range(2):
            with pytest.raises(CannotMeasureError, match="INPUT0"):
                bench.visit(wrong, ClosedLoad(1), QUICK)
            assert bench.visit(good, ClosedLoad(1), QUICK)[0].throughput > 0
    assert server.model_config("add_sub") == before


@pytest.mark.usefixtures("server")
def test_requests_that_the_server_refuses_are_a_result(explicit):
    with bench_of(explicit) as bench:
        bench.source = RandomSource({"INPUT0": (16,), "INPUT1": (7,)})
        with pytest.raises(CannotMeasureError, match="INPUT1"):
            bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)


def test_what_somebody_else_loads_meanwhile_ends_the_analysis_and_stays(explicit, server):
    with bench_of(explicit) as bench:
        mine = configuration(bench, 2)
        bench.visit(mine, ClosedLoad(1), QUICK)
        server.load("add_sub", as_json(vary(bench.complete, 6, 1)))
        with pytest.raises(ForeignChangeError, match=r"somebody else.*max_batch_size"):
            bench.visit(mine, ClosedLoad(1), QUICK)
    assert server.model_config("add_sub").max_batch_size == 6
    assert "left as it is" in bench.restoration.text


def test_a_change_while_load_is_on_is_noticed(explicit, server):
    with bench_of(explicit) as bench:
        theirs = as_json(vary(bench.complete, 6, 1))
        mine = configuration(bench, 2)
        bench.visit(mine, ClosedLoad(1), QUICK)
        load = threading.Timer(0.3, server.load, ("add_sub", theirs))
        load.start()
        with pytest.raises(ForeignChangeError):
            bench.visit(mine, ClosedLoad(1), VisitOptions(windows=100, seconds=0.1))
        load.join()


def test_what_somebody_else_unloads_meanwhile_stays_unloaded(explicit, server):
    with bench_of(explicit) as bench:
        mine = configuration(bench, 2)
        bench.visit(mine, ClosedLoad(1), QUICK)
        server.unload("add_sub")
        with pytest.raises(ForeignChangeError, match="not loaded any more"):
            bench.visit(mine, ClosedLoad(1), QUICK)
    assert not server.model_ready("add_sub")
    assert "unloaded it meanwhile" in bench.restoration.text


def test_two_analyses_of_a_model_do_not_meet(explicit, server):
    before = server.model_config("add_sub")
    with bench_of(explicit) as first:
        first.visit(configuration(first, 2), ClosedLoad(1), QUICK)
        for options in ({"protocol": "grpc"}, {"as_is": True}):  # it would take what is tried for what is there
            with pytest.raises(RemoteError, match="by another process already"), bench_of(explicit, **options):
                pass
        first.visit(configuration(first, 2), ClosedLoad(1), QUICK)
    assert server.model_config("add_sub") == before


def test_the_second_of_two_that_began_together_stops(explicit, server):
    before = server.model_config("add_sub")
    with bench_of(explicit) as first:
        with bench_of(explicit) as second:
            first.visit(configuration(first, 2), ClosedLoad(1), QUICK)
            with pytest.raises(ForeignChangeError, match="another analysis"):
                second.visit(configuration(second, 4), ClosedLoad(1), QUICK)
        first.visit(configuration(first, 2), ClosedLoad(1), QUICK)
    assert server.model_config("add_sub") == before


@pytest.mark.usefixtures("server")
def test_a_server_of_this_machine_is_seen(explicit):
    with bench_of(explicit) as bench:
        window = bench.visit(configuration(bench, 2), ClosedLoad(1), QUICK)[0]
    assert window.memory_mib > 20
    if ProcessorMeter.is_possible():
        assert window.processor.own > 0
        assert window.disturbance is not Disturbance.UNOBSERVED


def test_requests_of_others_are_counted(explicit, server):
    over = threading.Event()

    def ask():
        ones = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
        while not over.is_set():
            server.infer(Inference("add_sub", ones))

    with bench_of(explicit) as bench:
        mine = configuration(bench, 8)
        bench.visit(mine, ClosedLoad(1), QUICK)
        assert bench.others == 0
        others = [threading.Thread(target=ask) for _ in range(4)]
        for other in others:
            other.start()
        try:
            until(lambda: bench.visit(mine, ClosedLoad(1), VisitOptions(seconds=0.5)) and bench.others > 0)
        finally:
            over.set()
            for other in others:
                other.join()


def test_stop_ends_it(explicit, server):
    before = server.model_config("add_sub")
    stop = threading.Event()
    with RemoteBench(explicit.url("HTTP"), "add_sub", stop, RANDOM) as bench:
        mine = configuration(bench, 2)
        bench.visit(mine, ClosedLoad(1), QUICK)
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Stopped):
            bench.visit(mine, ClosedLoad(1), VisitOptions(seconds=600))
    assert server.model_config("add_sub") == before


def test_a_model_that_is_not_there(explicit):
    bench = RemoteBench(explicit.url("HTTP"), "add_sup", threading.Event(), RANDOM)
    with pytest.raises(RemoteError, match="'add_sup' is not at") as refused, bench:
        pass
    assert refused.value.fix == "did you mean 'add_sub'? models there: add_sub"


def test_a_server_that_is_not_there():
    with pytest.raises(RemoteError, match="no server answers"), RemoteBench("127.0.0.1:9", "m", threading.Event()):
        pass


@pytest.fixture(scope="module")
def plain(repository):
    with serving("--model-repository", repository) as served:
        yield served


def test_a_server_that_lets_nothing_be_loaded_says_so(plain):
    with pytest.raises(RemoteError, match="explicit model load / unload is not allowed") as refused, bench_of(plain):
        pass
    assert "--as-is" in refused.value.fix
    assert "--model-control-mode=explicit" in refused.value.fix


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_as_is_changes_nothing(plain, protocol):
    with connect(plain.url("HTTP")) as server:
        before = server.model_config("add_sub")
        with bench_of(plain, protocol, as_is=True) as bench:
            current = Configuration("current", 8, 1, bench.complete, current=True)
            assert bench.visit(current, ClosedLoad(4), QUICK)[0].throughput > 0
            with pytest.raises(CannotMeasureError, match="--as-is"):
                bench.visit(configuration(bench, 2), ClosedLoad(4), QUICK)
        assert bench.restoration is None
        assert server.model_config("add_sub") == before
