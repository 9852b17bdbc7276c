"""What only who holds several answers, or looks at the GPU's memory, can see: engines in a process with the stand-ins."""

import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from tensorrt_plans import add_sub, plan, stand_ins, tensor, write_plan

PREFACE = """
import sys
import numpy as np
from tcli_server import Engine
with Engine(sys.argv[1]) as engine:
"""


def run(repository: Path, program: str, **environment: str) -> str:
    with stand_ins(**environment):
        command = [sys.executable, "-c", PREFACE + indent(program, "    "), str(repository)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("host", [True, False])
def test_an_answer_stays_what_it_was_when_others_come(tmp_path: Path, host: bool):
    engine = plan(
        [tensor("X", (2,), "INT64", is_shape=True, host=True), tensor("Y", (2,), "INT64", host=host)],
        {"Y": "X + 1"},
        [{"shapes": {}, "values": {"X": [[0, 0], [1, 1], [99, 99]]}}],
    )
    write_plan(tmp_path, "m", engine)
    program = """
answers = [engine.infer("m", {"X": np.array([number, 2 * number])}).outputs["Y"] for number in range(5)]
print([answer.tolist() for answer in answers])
"""
    assert run(tmp_path, program).strip() == str([[number + 1, 2 * number + 1] for number in range(5)])


def test_memory_of_outputs_that_grow_is_given_back(tmp_path: Path):
    """10,000 places at most at a time, and 50,500 in all."""
    engine = plan(
        [tensor("X", (-1,)), tensor("Y", (1, -1), "INT64", depends_on_values=True)],
        {"Y": "np.array(np.nonzero(X))"},
        [{"X": [[1], [8], [1000]]}],
    )
    write_plan(tmp_path, "m", engine, "max_batch_size: 0")
    program = """
for count in range(100, 1001, 100):
    answer = engine.infer("m", {"X": np.ones(count, np.float32)}).outputs["Y"]
    assert answer.tolist() == [list(range(count))]
"""
    run(tmp_path, program, STAND_IN_GPU_MEMORY="20000")


def test_instances_on_a_gpu_share_an_engine(tmp_path: Path):
    write_plan(tmp_path, "m", add_sub(), "instance_group { count: 3 }")
    assert run(tmp_path, "import tensorrt; print(tensorrt.read_on)").strip() == "[-1]"


def test_a_dla_core_is_chosen_before_the_engine_is_read(tmp_path: Path):
    groups = "instance_group [ { }, { secondary_devices { kind: KIND_NVDLA device_id: 1 } } ]"
    write_plan(tmp_path, "m", add_sub(), groups)
    assert run(tmp_path, "import tensorrt; print(sorted(tensorrt.read_on))").strip() == "[-1, 1]"


def test_memory_is_for_the_largest_batch_that_the_configuration_allows(tmp_path: Path):
    """The engine's own largest batch would take 256 KB."""
    write_plan(tmp_path, "m", add_sub(most=1000), "max_batch_size: 10")
    program = """
given = {name: np.ones((10, 16), np.float32) for name in ("INPUT0", "INPUT1")}
print(engine.infer("m", given).outputs["OUTPUT0"].sum())
"""
    assert run(tmp_path, program, STAND_IN_GPU_MEMORY="3000").strip() == "320.0"


def test_an_instance_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path):
    write_plan(tmp_path, "large", add_sub(most=1000))
    program = """
from cuda.bindings import runtime
print(engine.repository_index().models[0].state, len(runtime._streams), len(runtime._allocations))
"""
    assert run(tmp_path, program, STAND_IN_GPU_MEMORY="200000").strip() == "UNAVAILABLE 0 0"
