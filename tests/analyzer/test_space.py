"""From a machine and a model to the configurations that are tried."""

from dataclasses import replace

import pytest

from spaces import (
    CUDA,
    ONNX,
    ONNX_ALONE,
    ONNX_AND_OPENVINO,
    TENSORRT,
    TWO_CORES,
    config,
    labels,
    variants,
)
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.space import (
    Engines,
    Facts,
    Space,
    SpaceError,
    facts_elsewhere,
    own_engine,
    read_settings,
    same_numbers,
)

ONE = Space((4,), (1,), ("onnxruntime",), ("cpu",), concurrency=(1,))


def default(base=None, engines=ONNX_ALONE, facts=TWO_CORES, batches=True) -> Space:
    return Space.default(facts, config() if base is None else base, engines, batches)


def test_the_default_follows_cores_and_the_model():
    assert default().max_batch_sizes == (1, 2, 4, 8)
    assert default().instances == (1, 2)
    assert default().concurrency == (1, 2, 4, 8, 16)
    assert default(facts=Facts(1)).instances == (1,)
    assert default(facts=Facts(16)).instances == (1, 2, 4)


def test_the_models_own_values_are_in_the_default():
    base = config()
    base.dynamic_batching.max_queue_delay_microseconds = 700
    base.dynamic_batching.preferred_batch_size[:] = [4, 8]
    base.max_batch_size = 12
    base.instance_group[0].count = 3
    base.parameters["intra_op_thread_count"].string_value = "2"
    found = default(base)
    assert found.max_batch_sizes == (1, 2, 4, 8, 12)
    assert found.instances == (1, 2, 3)
    assert found.threads == (2, 0)
    assert found.queue_delays_us == (0, 700)
    assert found.preferred_batch_sizes == ((4, 8),)


def test_a_model_without_batches_has_no_batch_sizes():
    found = default(config('name: "m" backend: "onnxruntime"'), batches=False)
    assert found.max_batch_sizes == (0,)
    assert found.concurrency == (1, 2, 4)


def test_another_engine_and_bf16_are_tried_only_where_they_may_help():
    both = default(engines=ONNX_AND_OPENVINO)
    assert (both.engines, both.precisions) == (("onnxruntime", "openvino"), ("f32", "bf16"))
    old = default(engines=Engines(ONNX, (replace(ONNX_AND_OPENVINO.others[0], works_in=("f32",)),)), facts=Facts(2))
    assert (old.engines, old.precisions) == (("onnxruntime", "openvino"), ("f32",))
    alone = default()
    assert (alone.engines, alone.precisions) == (("onnxruntime",), ("",))


def test_on_a_gpu_batches_are_larger_and_other_engines_are_left_alone():
    base = config()
    base.instance_group[0].kind = 1
    assert read_settings(base).provider == "cuda"
    found = default(base, Engines(CUDA, ONNX_AND_OPENVINO.others), Facts(16, gpus=1))
    assert found.max_batch_sizes == (1, 2, 4, 8, 16, 32)
    assert found.instances == (1, 2)
    assert found.engines == ("onnxruntime",)


def test_the_models_own_configuration_comes_first_and_only_once():
    found = variants(default())
    assert found.configurations[0].current
    assert found.configurations[0].name == "m_config_default"
    assert labels(found) == [
        *("batch 1, 1 instance", "batch 2, 1 instance", "batch 4, 1 instance"),
        *(f"batch {size}, 2 instances" for size in (1, 2, 4, 8)),
    ]
    assert found.notes == ("1 combination left out that runs as another one",)


def test_names_count_from_0_in_the_order_of_creation_and_are_the_same_again():
    names = [one.name for one in variants(default()).configurations]
    assert names == ["m_config_default", *(f"m_config_{number}" for number in range(7))]
    again = variants(default()).configurations
    assert [(one.name, one.label) for one in again] == [
        (one.name, one.label) for one in variants(default()).configurations
    ]


def test_a_rewritten_model_never_runs_as_the_models_own():
    found = variants(default(), rewritten_model=True)
    assert len(found.configurations) == 9
    assert all(one.rewritten_model and one.changes_numbers for one in found.configurations[1:])


def test_labels_name_only_what_differs_and_are_unique():
    everything = replace(
        default(engines=ONNX_AND_OPENVINO),
        concurrency=(8,),
        queue_delays_us=(0, 500, 1000),
        preferred_batch_sizes=((), (4,), (4, 8)),
        threads=(0, 1, 2, 3),
        graph_levels=(0, -1, 2),
        precisions=("f32", "bf16", ""),
    )
    found = labels(variants(everything))
    assert len(set(found)) == len(found) > 500
    assert "batch 4, 2 instances, openvino bf16, delay 1 ms" in found
    assert "batch 8, 1 instance, openvino, 1 thread, delay 500 µs, preferred 4+8" in found
    assert "batch 2, 1 instance, 3 threads, basic optimizations" in found


def test_what_is_the_models_own_is_not_named():
    base = config(more='parameters { key: "intra_op_thread_count" value { string_value: "4" } }')
    base.dynamic_batching.max_queue_delay_microseconds = 1000
    space = replace(ONE, max_batch_sizes=(1, 4), queue_delays_us=(0, 1000), threads=(4, 0))
    assert labels(variants(space, base)) == [
        *("batch 1, 1 instance, own threads", "batch 4, 1 instance, own threads, no delay"),
        *("batch 4, 1 instance, own threads", "batch 1, 1 instance"),
        *("batch 4, 1 instance, no delay", "batch 4, 1 instance"),
    ]


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (replace(ONE, max_batch_sizes=(1,), queue_delays_us=(0, 100, 200)), 1),  # nothing waits for a batch of 1
        (replace(ONE, preferred_batch_sizes=((8,), (16,), ())), 1),  # none fits into a batch of 4
        (replace(ONE, preferred_batch_sizes=((2, 8), (2,), (2, 2))), 1),
        (replace(ONE, threads=(0, 2)), 1),  # the share of one instance on two cores
        (replace(ONE, instances=(2,), threads=(0, 2)), 2),
        (replace(ONE, precisions=("f32", "")), 1),  # ONNX Runtime computes as the file says
        (replace(ONE, max_batch_sizes=(4, 4, 4)), 1),
    ],
)
def test_what_runs_the_same_way_is_one(space: Space, count: int):
    assert len(labels(variants(space))) == count


def test_what_can_change_numbers_is_marked():
    space = replace(default(engines=ONNX_AND_OPENVINO), max_batch_sizes=(1, 4), instances=(1,), graph_levels=(0, 2))
    marks = {one.label: one.changes_numbers for one in variants(space).configurations}
    assert marks == {
        "current": False,
        "batch 1, 1 instance": False,
        "batch 4, 1 instance": True,
        "batch 1, 1 instance, no optimizations": True,
        "batch 4, 1 instance, no optimizations": True,
        "batch 1, 1 instance, openvino f32": True,
        "batch 4, 1 instance, openvino f32": True,
        "batch 1, 1 instance, openvino bf16": True,
        "batch 4, 1 instance, openvino bf16": True,
    }
    kinds = {same_numbers(one) for one in variants(replace(space, instances=(1, 2))).configurations}
    assert len(kinds) == len(marks)


def test_too_many_combinations_are_refused_with_how_to_shrink_them():
    many = replace(default(), threads=tuple(range(30)), queue_delays_us=tuple(range(0, 4000, 100)))
    with pytest.raises(SpaceError) as error:
        variants(many)
    assert str(error.value) == (
        "48,000 combinations (40 queue-delays x 30 threads x 5 concurrency x 4 batch-sizes x 2 instance-counts), "
        "expected at most 10,000"
    )
    assert error.value.fix == "give two values with --queue-delays, and the rest in a second run around what was best"
    assert replace(many, queue_delays_us=(0, 100)).size == 2400


def test_a_great_space_is_laid_out_in_seconds():
    space = replace(default(), threads=tuple(range(1, 50)), queue_delays_us=(0, 1, 2, 3), concurrency=(1, 2, 4))
    assert 9_000 < space.size * 2 < 10_000
    assert len(variants(space).configurations) > 1_000


@pytest.mark.parametrize(
    ("space", "message", "fix"),
    [
        (
            replace(ONE, engines=("openvino",)),
            "the engine 'openvino' cannot run this model here: not installed: pip install \"tcli[openvino]\"",
            "leave it out: onnxruntime can",
        ),
        (replace(ONE, engines=("opnvino",)), "no engine 'opnvino' runs this model; here are onnxruntime", "did you mean 'openvino'?"),
        (replace(ONE, providers=("cuda",)), "no provider 'cuda' runs this model; here are cpu", "leave it out"),
        (replace(ONE, precisions=("f16",)), "nothing that runs this model here has the precision 'f16'", "leave it out; there is onnxruntime: f32"),
        (replace(ONE, concurrency=()), "no load", "give --concurrency or --request-rates"),
        (replace(ONE, threads=()), "threads: no value", "give at least one with --threads"),
    ],
)  # fmt: skip
def test_what_nothing_here_takes_is_refused(space: Space, message: str, fix: str):
    with pytest.raises(SpaceError) as error:
        variants(space, engines=ONNX_ALONE)
    assert (str(error.value), error.value.fix) == (message, fix)


def test_a_precision_that_the_processor_has_not_is_refused():
    space = replace(ONE, engines=("openvino",), precisions=("f16",))
    with pytest.raises(SpaceError, match="this processor does not compute in f16, and the engine would take f32"):
        variants(space)


def test_a_precision_is_tried_where_it_means_something():
    space = replace(ONE, engines=("onnxruntime", "openvino"), precisions=("bf16",))
    assert labels(variants(space)) == ["batch 4, 1 instance, openvino bf16"]


def test_tensorrt_is_written_as_an_accelerator_of_gpu_instances():
    space = replace(ONE, providers=("cuda", "tensorrt"), precisions=("f32", "f16"))
    base = config()
    base.instance_group[0].kind = 1
    base.instance_group[0].gpus.append(0)
    found = variants(space, base, Engines(CUDA, (TENSORRT, ONNX)), Facts(16, 1))
    assert labels(found) == [
        "batch 4, 1 instance",
        "batch 4, 1 instance, onnxruntime+tensorrt f32",
        "batch 4, 1 instance, onnxruntime+tensorrt f16",
    ]
    last = found.configurations[-1].config
    accelerator = last.optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert (accelerator.name, dict(accelerator.parameters)) == ("tensorrt", {"precision_mode": "FP16"})
    assert list(last.instance_group[0].gpus) == [0]
    to_cpu = variants(replace(ONE, providers=("cpu",)), base, Engines(CUDA, (ONNX,)), Facts(16, 1))
    assert labels(to_cpu) == ["batch 4, 1 instance, onnxruntime+cpu"]
    assert not to_cpu.configurations[-1].config.instance_group[0].gpus


def test_loads_are_those_that_a_batch_can_hold():
    space = replace(ONE, client_batch_sizes=(1, 4), concurrency=(2,), request_rates=(10.0,))
    assert space.loads_for(4) == ((1, ClosedLoad(2)), (1, OpenLoad(10.0)), (4, ClosedLoad(2)), (4, OpenLoad(10.0)))
    assert space.loads_for(2) == space.loads_for(0) == ((1, ClosedLoad(2)), (1, OpenLoad(10.0)))


def test_sequences_keep_their_batcher():
    base = config('name: "m" backend: "onnxruntime" max_batch_size: 4 sequence_batching { oldest {} }')
    found = variants(replace(ONE, max_batch_sizes=(2, 4), queue_delays_us=(0, 100)), base)
    assert labels(found) == ["batch 2, 1 instance"]
    assert all(one.config.HasField("sequence_batching") for one in found.configurations)


def test_of_a_server_elsewhere_nothing_is_taken_for_granted():
    """A real Triton gives each instance as many threads as it likes."""
    there = facts_elsewhere()
    engines = own_engine(config(), there)
    assert default(engines=engines, facts=there).instances == (1, 2)
    assert len(labels(variants(replace(ONE, threads=(0, 1, 2)), engines=engines, facts=there))) == 3
