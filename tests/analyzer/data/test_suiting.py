"""Made-up inputs that suit models which are choosy, and what is said where nothing is found."""

import queue
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tritonclient.grpc.model_config_pb2 import ModelConfig

import choosy_models
import onnx_models
import sequence_models
from python_models import write_python_model
from repositories import write_model
from tcli_analyzer.data import DataError, DataSource, Range, Suited, hints_of, suit
from tcli_analyzer.data.asking import AskedApart, LoadDiedError
from tcli_analyzer.data.suiting import Answers, Fatal
from tcli_analyzer.load.sequences import sequences_of
from tcli_analyzer.target import EngineTarget, SequenceMark
from tcli_server.errors import InternalError, ServerError
from waiting import PATIENCE

MADE_UP = DataSource()


def asking(target: EngineTarget, config: ModelConfig) -> Answers:
    """As `AskedApart`, of what is loaded here: a process for each model would take long."""

    def answers(source: DataSource) -> str:
        mark = SequenceMark(1, start=True, end=True) if sequences_of(config) is not None else None
        got: queue.SimpleQueue[ServerError | None] = queue.SimpleQueue()
        try:
            target.submit(source.make(config, 1)[0], got.put, mark)
        except ServerError as problem:
            return str(problem)
        error = got.get(timeout=PATIENCE)
        return str(error) if error is not None else ""

    return answers


def suited(repository: Path, model: bytes, source: DataSource = MADE_UP, config: str | None = None) -> Suited:
    folder = write_model(repository, "m", model, config)
    with EngineTarget(repository, "m") as target:
        complete = target.load()
        found = suit(source, complete, asking(target, complete), hints_of(complete, folder / "1" / "model.onnx"))
        assert asking(target, complete)(found.source) == ""
    return found


def test_a_size_that_cannot_be_one(tmp_path: Path):
    found = suited(tmp_path, choosy_models.pools(4))
    assert found.source.shapes == {"X": (4,)}
    assert found.options == "--shape X:4"
    (note,) = found.notes
    assert "X [4]: others are refused (" in note
    assert "onnxruntime_src" not in note


def test_what_runs_stays(tmp_path: Path):
    assert suited(tmp_path, onnx_models.product(np.ones((3, 2), np.float32))) == Suited(DataSource())


def test_a_size_that_was_given_is_not_changed(tmp_path: Path):
    with pytest.raises(DataError, match="refuses made-up inputs 'X'") as caught:
        suited(tmp_path, choosy_models.pools(4), DataSource(shapes={"X": (2,)}))
    assert "--input X:FILE.npy" in caught.value.fix


def test_numbers_within_the_table_of_the_file(tmp_path: Path):
    found = suited(tmp_path, choosy_models.table(50))
    assert found.source.ranges == {"IDS": Range(0, 49)}
    assert found.options == ""
    assert "values of IDS are 0..49: the rows of the model's table" in found.notes[0]


def test_words_are_as_many_as_in_a_text(tmp_path: Path):
    found = suited(tmp_path, choosy_models.table(3000))
    assert found.source.shapes == {"IDS": (128,)}
    assert found.source.ranges == {"IDS": Range(0, 2999)}


def test_bounds_that_only_the_complaint_tells(tmp_path: Path):
    found = suited(tmp_path, choosy_models.table(20, TensorProto.UINT8, hidden=True))
    assert found.source.ranges == {"IDS": Range(0, 19)}
    assert found.options == "--input IDS:0..19"
    assert "values of IDS are 0..19: others are refused (" in found.notes[0]


def test_a_single_value_that_the_model_knows(tmp_path: Path):
    found = suited(tmp_path, choosy_models.knows(7, 9))
    assert found.options == "--input MODE:7..7"
    by_name = suited(tmp_path / "other", choosy_models.knows(8000, name="sample_rate"))
    assert by_name.options == "--input sample_rate:8000..8000"
    assert "by its name a sample rate" in by_name.notes[0]


def test_sizes_of_what_was_given_are_tried_for_the_rest(tmp_path: Path):
    np.save(tmp_path / "INPUT0.npy", np.ones((2, 37), np.float32))
    found = suited(tmp_path / "r", onnx_models.add_sub(shape=("N", "M")), DataSource((str(tmp_path / "INPUT0.npy"),)))
    request = found.source.make(_config(tmp_path / "r"), 1)[0]
    assert request["INPUT0"].shape == request["INPUT1"].shape == (1, 37)


def _config(repository: Path):
    with EngineTarget(repository, "m") as target:
        return target.load()


def test_nothing_is_found(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        suited(tmp_path, choosy_models.never())
    message = str(caught.value)
    assert "model 'm' refuses made-up inputs 'X' (FP32 [-1])" in message
    assert "indices element out of data bounds" in message
    assert "tried random values; sizes 1, 2, 4" in message
    assert "fractions" in message
    assert caught.value.fix == "say what it takes: --shape X:N or --input X:FILE.npy"


def test_what_was_given_is_refused(tmp_path: Path):
    np.save(tmp_path / "X.npy", np.ones((2, 3), np.float32))
    with pytest.raises(DataError, match="model 'm' refuses the given inputs: "):
        suited(tmp_path / "r", choosy_models.pools(4), DataSource((str(tmp_path / "X.npy"),)))


def test_a_model_with_state_is_asked_by_a_sequence(tmp_path: Path):
    config = sequence_models.sums_config()
    found = suited(tmp_path, sequence_models.sums(), config=config)
    assert found.source.shapes == {}


def test_in_a_process_of_its_own(tmp_path: Path):
    write_model(tmp_path, "m", choosy_models.pools(4))
    config = _config(tmp_path)
    with AskedApart(tmp_path, "m", threading.Event()) as asked:
        assert suit(DataSource(), config, asked).options == "--shape X:4"


def test_time_is_limited(tmp_path: Path):
    write_model(tmp_path, "m", choosy_models.never())
    config = _config(tmp_path)
    asked: list[DataSource] = []

    def answers(source: DataSource) -> str:
        asked.append(source)
        return "no"

    with pytest.raises(DataError) as caught:
        suit(DataSource(), config, answers, seconds=0)
    assert len(asked) == 1
    assert str(caught.value).endswith("refuses made-up inputs 'X' (FP32 [-1]): no; tried random values; sizes 1")


def test_a_model_that_dies_of_its_first_request_refuses_nothing(tmp_path: Path):
    write_model(tmp_path, "m", choosy_models.never())
    config = _config(tmp_path)
    hangs = "it hangs: no answer for 120 s"
    with pytest.raises(DataError) as caught:
        suit(DataSource(), config, lambda _: Fatal(hangs), seconds=0)
    assert str(caught.value) == f"model 'm' fails on its first request, with made-up inputs 'X' (FP32 [-1]): {hangs}"
    assert "--input X:FILE.npy" in caught.value.fix
    assert "--shape" not in caught.value.fix
    np.save(tmp_path / "X.npy", np.ones((2, 3), np.float32))
    with pytest.raises(DataError, match="'m' fails on the given inputs: it hangs"):
        suit(DataSource((str(tmp_path / "X.npy"),)), config, lambda _: Fatal(hangs))


def test_a_load_that_does_not_end_is_told_from_one_that_is_refused_and_both_with_the_users_places(tmp_path: Path):
    own, copy = tmp_path / "own", tmp_path / "copy"
    copy.mkdir()
    code = "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(3600)\n"
    write_python_model(own, "hangs", code)
    (write_model(own, "broken", b"") / "1" / "model.onnx").write_bytes(b"no model")
    for name in ("hangs", "broken"):
        (copy / name).symlink_to(own / name, target_is_directory=True)
    hanging = AskedApart(copy, "hangs", threading.Event(), patience=1.0)
    with pytest.raises(LoadDiedError, match="it hangs: no answer within 1 s"), hanging:
        pass
    broken = AskedApart(copy, "broken", threading.Event())
    with pytest.raises(InternalError, match=str(own / "broken")) as caught, broken:
        pass
    assert not isinstance(caught.value, LoadDiedError)
    assert str(copy) not in str(caught.value)


def test_what_the_user_says_is_kept(tmp_path: Path):
    source = DataSource(("IDS:3..5", "IDS:6"))
    assert suited(tmp_path, choosy_models.table(3000), source) == Suited(source)
    zeros = DataSource(("zero",))
    assert suited(tmp_path / "zeros", choosy_models.table(50), zeros) == Suited(zeros)


def test_a_table_larger_than_the_inputs_type(tmp_path: Path):
    found = suited(tmp_path, choosy_models.table(500, TensorProto.UINT8))
    assert found.source.ranges == {"IDS": Range(0, 255)}
