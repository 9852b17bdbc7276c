"""Every fix that a program can make is right: it ends its problem, and never costs the file what Triton could read.

Valid configurations are broken in many ways. The judge is protobuf's own parser; where the one for Python, used here, takes more
than the one for C++, which Triton uses, the reader's own verdict is added: it was compared with a real Triton 2.51.
"""

import re
from collections import Counter

import hypothesis.strategies as st
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository import (
    ModelFolder,
    Problem,
    apply_edits,
    config_problems,
    read_config_file,
    signature_problems,
    unsupported_problems,
)
from tcli_server.signature import ModelSignature, TensorSignature

MODEL = ModelSignature(
    (TensorSignature("data", "FP32", (-1, 3, 224, 224)), TensorSignature("size", "INT64", (-1,))),
    (TensorSignature("classes", "FP32", (-1, 10)),),
    (TensorSignature("sizes", "INT32", (-1,)),),
)
CONFIGURATIONS = [
    """
name: "m"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [
  { name: "data" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 224, 224 ] },
  { name: "size" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
output [ { name: "classes" data_type: TYPE_FP32 dims: [ 10 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
""",
    """# the same, in other words
backend: 'onnxruntime', max_batch_size: 4;
input: < name: "data" data_type: 11 dims: 3 dims: 224 dims: 224 >
input { name: "size", data_type: TYPE_INT64, dims: [ 1 ], reshape: { shape: [ ] } }
output { name: "classes" data_type: TYPE_FP32 dims: [ 10 ] }
dynamic_batching {
  priority_levels: 2 default_priority_level: 1
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 max_queue_size: 4 }
  priority_queue_policy { key: 2 value { allow_timeout_override: true } }
}
version_policy: { specific { versions: [ 1, 2 ] } }
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
parameters [ { key: "b" value: { string_value: "C:\\\\new" } } ]
metric_tags { key: "team" value: "vision" }
optimization { graph { level: 1 } input_pinned_memory { enable: false } }
""",
    """
max_batch_size: 2
sequence_batching {
  direct { minimum_slot_utilization: 0.5 }
  control_input [ { name: "size" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } ] } ]
}
input [ { name: "data" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "classes" data_type: TYPE_FP32 dims: [ 10 ] } ]
version_policy { latest { num_versions: 1 } }
response_cache { enable: false }
""",
    """
max_batch_size: 8
input [ { name: "data" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
input { name: "size" data_type: TYPE_INT64 dims: [ -1 ] allow_ragged_batch: true }
output { name: "classes" data_type: TYPE_FP32 dims: [ 10 ] }
batch_input [ { kind: BATCH_ITEM_SHAPE_FLATTEN target_name: [ "sizes" ] data_type: TYPE_INT32 source_input: "size" } ]
batch_output: { target_name: "classes" source_input: [ "data" ] }
dynamic_batching { }
""",
]
WORDS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[\w.+-]+|\s+|#[^\n]*|.', re.DOTALL)
STRAYS = [
    *"{}[]<>,;:=()#\\/'\"%$²８–\u00a0\u200b\ufeff：“”`",
    "0", "-1", "-0", "08", "1e1", "+8", "8.0", "0x8", "1_000", "1,000", "4294967296", "9" * 25, "None", "auto", "yes",
    "true", "TYPE_LONG", "TYPE_", "int", "fp32", "KIND_GPU", "gpu", "DELAY", "all", "zork", "name", "dims", "input",
    "kind", "max_batch_size", "shape: [ 3 ]", '"a"', "“a”", "'a\"", '"open', "a b", "${X}", "{{ x }}", "// x", "/* x */",
    "{ a: 1 }", "[ 3, 4 ]", "optional: true", "count: -1", 'label_filename: "no.txt"', "reshape: [ 12 ]", "gpus: 0",
    'name: "data"', "max_batch_size:", "dynamic_batching: true", "preserve_ordering: true", "profile: 'x'", "\r\n",
]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A configuration with one to three mistakes."""
    words = WORDS.findall(draw(st.sampled_from(CONFIGURATIONS)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(words) - 1))
        change = draw(st.sampled_from(["remove", "insert", "replace", "double", "swap", "misspell", "copy"]))
        other = draw(st.integers(0, len(words) - 1))
        word = words[place]
        if change == "insert":
            words[place:place] = [" ", draw(st.sampled_from(STRAYS)), " "]
        elif change == "swap":
            words[place], words[other] = words[other], word
        else:
            cut = draw(st.integers(0, len(word)))
            words[place] = {
                "remove": "",
                "replace": draw(st.sampled_from(STRAYS)),
                "double": f"{word} {word}",
                "misspell": word[:cut] + word[cut + 1 :],
                "copy": words[other],
            }[change]
    return "".join(words)


def judged(folder: ModelFolder, text: str) -> tuple[str, list[Problem]]:
    folder.config_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    file = read_config_file(folder.config_path)
    config, positions = file.config, file.positions
    return file.text, [
        *file.problems,
        *config_problems(config, folder, positions),
        *unsupported_problems(config, folder, positions),
        *signature_problems(config, MODEL, folder, positions),
    ]


def is_readable(folder: ModelFolder, text: str) -> bool:
    """Whether Triton could read a text: protobuf can, and no place is known where the parser for C++ could not."""
    folder.config_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        text_format.Parse(text, ModelConfig())
    except text_format.ParseError:
        return False
    return not read_config_file(folder.config_path).problems


def kind(problem: Problem) -> tuple[str, str, str]:
    """A problem without its place, which edits before it change."""
    places = re.compile(r"(line|column|lines) \d+(, \d+)*( and \d+)?|\[\d+\]")
    return places.sub("", problem.field), places.sub("", problem.found), places.sub("", problem.fix)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    path = tmp_path_factory.mktemp("fixes") / "m"
    path.mkdir()
    return ModelFolder("m", path)


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_what_is_broken_later_is_right_before(folder: ModelFolder, text: str):
    _, problems = judged(folder, text)
    assert [problem for problem in problems if "tcli does not support" not in problem.expected] == []
    assert is_readable(folder, text)


@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(text=broken())
def test_a_fix_that_a_program_can_make_ends_its_problem_and_breaks_nothing(folder: ModelFolder, text: str):
    text, problems = judged(folder, text)
    assert len(problems) < 100
    readable = is_readable(folder, text)
    assert readable or any(not problem.expected.startswith("nothing: tcli") for problem in problems)
    count = Counter(map(kind, problems))
    for problem in problems:
        if not problem.edits:
            continue
        fixed, left = judged(folder, apply_edits(text, problem.edits))
        is_fewer = Counter(map(kind, left))[kind(problem)] < count[kind(problem)]
        assert is_fewer or str(problem) not in map(str, left), f"{problem}\n{fixed}"
        assert is_readable(folder, fixed) or not readable, f"{problem}\n{fixed}"


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(text=broken())
def test_following_all_fixes_comes_to_an_end(folder: ModelFolder, text: str):
    text, problems = judged(folder, text)
    for _ in range(60):
        edits = next((problem.edits for problem in problems if problem.edits), None)
        if edits is None:
            break
        text, problems = judged(folder, apply_edits(text, edits))
    else:
        pytest.fail(f"{problems[0]}\n{text}")
    assert problems or is_readable(folder, text)
