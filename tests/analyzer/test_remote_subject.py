"""What is found out about a model that is on a server."""

import threading
from contextlib import contextmanager

import pytest

import batching_models
import onnx_models
from plain_v2 import plain_v2
from repositories import write_model
from serve_command import serving
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.evidence.disturbance import Disturbance
from tcli_analyzer.ground.remote import remote_ground
from tcli_analyzer.inputs import RandomSource, UnknownInputError
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.options import AnalysisOptions, RemoteServer
from tcli_analyzer.remote.connections import MOST_CONNECTIONS
from tcli_analyzer.remote.errors import RemoteError
from tcli_analyzer.remote.subject import examine_remote
from tcli_analyzer.space.values import SpaceValues
from tcli_analyzer.subject import NotAnalyzableError
from tcli_client import connect

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02)

ENSEMBLE = """
platform: "ensemble"
max_batch_size: 4
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "four" model_version: -1
  input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "OUTPUT0" } } ] }
"""


def config(batch, dims, more=""):
    return f"""
backend: "onnxruntime"
max_batch_size: {batch}
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: {dims} }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: {dims} }} ]
{more}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    repository = tmp_path_factory.mktemp("subject")
    write_model(repository, "four", onnx_models.identity(), config(4, "[ 4 ]"))
    write_model(repository, "none", onnx_models.identity(), config(0, "[ -1, 4 ]"))
    write_model(repository, "fixed", onnx_models.identity(shape=(1, 4)), config(0, "[ 1, 4 ]"))
    mixing = batching_models.config_of("mixing", 8, "[ 4 ]", "[ 4 ]")
    batching_models.write(repository, "mixing", batching_models.normalizes_over_the_batch, mixing)
    write_model(repository, "loose", onnx_models.identity(shape=("N", "M")), config(4, "[ -1 ]"))
    folder = repository / "all"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(ENSEMBLE)
    with serving("--model-repository", repository, "--model-control-mode=explicit", "--load-model=*") as served:
        yield served


@contextmanager
def examined(served, model, shapes=None, as_is=False):
    """Examine a model; afterwards it must be as it was."""
    with connect(served.url("HTTP")) as server:
        before = server.model_config(model)
        with RemoteBench(served.url("HTTP"), model, threading.Event(), as_is=as_is) as bench:
            yield bench, examine_remote(bench, shapes or {}, print)
        assert server.model_config(model) == before


def test_batches_that_its_configuration_does_not_allow_yet_are_checked(served):
    with examined(served, "four") as (bench, subject):
        assert subject.check.sizes == (2, 3, 8)
        assert subject.batches
        assert subject.batch_sizes((1, 4, 16)) == (1, 4, 16)
        assert subject.current.label == "current (batch 4, 1 instance)"
        bench.source = RandomSource(subject.shapes)
        for size in (4, 16):
            tried = Configuration(f"batch {size}", size, 1, vary(subject.base, size, 1))
            assert bench.visit(tried, ClosedLoad(2), QUICK)[0].throughput > 0


def test_a_model_without_batches_that_could_have_some(served):
    with examined(served, "none") as (bench, subject):
        assert subject.batches
        assert list(subject.base.input[0].dims) == [4]
        assert subject.current.max_batch_size == 0
        bench.source = RandomSource(subject.shapes)
        for each in (subject.current, Configuration("batch 4", 4, 1, vary(subject.base, 4, 1)), subject.current):
            assert bench.visit(each, ClosedLoad(2), QUICK)[0].throughput > 0


def test_a_model_whose_file_fixes_the_batch(served):
    with examined(served, "fixed") as (_, subject):
        assert not subject.batches
        assert "its file on the server is not changed" in subject.not_batchable
        assert subject.verdict is None


def test_batches_that_mix_their_items_are_seen(served):
    with examined(served, "mixing") as (_, subject):
        assert subject.wrong_batches
        assert subject.current.wrong_batches
        assert subject.batch_sizes((1, 4, 16)) == (1,)


def test_as_it_is_only_what_it_allows_is_tried(served):
    with examined(served, "four", as_is=True) as (_, subject):
        assert subject.check.sizes == (2, 3)
    with examined(served, "none", as_is=True) as (_, subject):
        assert "--as-is" in subject.not_batchable


def test_more_callers_than_there_may_be_connections_are_told_of(served):
    options = AnalysisOptions("four", space=SpaceValues(concurrency=(1, MOST_CONNECTIONS + 1)))
    for name, protocol, told in (("HTTP", "http", 1), ("gRPC", "grpc", 0)):
        server = RemoteServer(served.url(name), protocol, as_is=True)
        with remote_ground(options, server, print, print, threading.Event()) as ground:
            assert sum("in the load generator" in note for note in ground.notes) == told


def test_shapes_that_are_given_and_guessed(served):
    with examined(served, "loose") as (_, subject):
        assert subject.guessed == ("INPUT0",)
    with examined(served, "loose", {"INPUT0": (5,)}) as (_, subject):
        assert subject.shapes == {"INPUT0": (5,)}
    with pytest.raises(UnknownInputError, match="INPUTS"), examined(served, "loose", {"INPUTS": (5,)}):
        pass


def test_an_ensemble(served):
    with pytest.raises(NotAnalyzableError, match="'all' is an ensemble") as refused, examined(served, "all"):
        pass
    assert "--as-is" in refused.value.fix
    with examined(served, "all", as_is=True) as (bench, subject):
        bench.source = RandomSource(subject.shapes)
        assert bench.visit(subject.current, ClosedLoad(2), QUICK)[0].throughput > 0


def test_a_server_without_any_extension():
    with plain_v2() as url:
        with pytest.raises(RemoteError) as refused, RemoteBench(url, "doubles", threading.Event()):
            pass
        assert "--as-is" in refused.value.fix
        with RemoteBench(url, "doubles", threading.Event(), as_is=True) as bench:
            subject = examine_remote(bench, {}, print)
            assert not bench.described
            assert subject.shapes == {"x": (1, 3)}
            bench.source = RandomSource(subject.shapes)
            window = bench.visit(subject.current, ClosedLoad(2), QUICK)[0]
        assert window.throughput > 0
        assert window.disturbance is Disturbance.UNOBSERVED  # nobody says that this is a server
        assert window.memory_mib == 0


def test_a_request_that_such_a_server_refuses_is_a_result():
    with plain_v2() as url:
        bench = RemoteBench(url, "doubles", threading.Event(), RandomSource({"x": (1, 5)}), as_is=True)
        with bench:
            current = examine_remote(bench, {}, print).current
            for _ in range(2):
                with pytest.raises(CannotMeasureError, match="expected 3 values an item, found 5"):
                    bench.visit(current, ClosedLoad(1), QUICK)
