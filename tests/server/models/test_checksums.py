"""The `checksum` repository agent: what is loaded is what the configuration gives the checksums of."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import pushed_folders, states, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InternalError, InvalidArgumentError, NotFoundError
from tcli_server.models.check import check_repository
from tcli_server.models.draft import Draft
from tcli_server.models.loading import load_versions
from tcli_server.models.model import Model
from tcli_server.repository import ModelFolder, Problem, apply_edits
from waiting import until

MODEL = onnx_models.add_sub()
OTHER = onnx_models.add_sub(shape=("N", 4))
MD5 = hashlib.md5(MODEL).hexdigest()
SHA256 = hashlib.sha256(MODEL).hexdigest()
PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
EXPLICIT = EngineOptions(model_control_mode="explicit")
POLL = EngineOptions(model_control_mode="poll", repository_poll_secs=0.02)


def config(*checksums: tuple[str, str], agent: str = "checksum", more: str = "") -> str:
    parameters = "\n".join(f'      parameters {{ key: "{key}" value: "{value}" }}' for key, value in checksums)
    return f"""backend: "onnxruntime"
{more}
model_repository_agents {{
  agents [
    {{ name: "{agent}"
{parameters}
    }}
  ]
}}
"""


def write(repository: Path, *checksums: tuple[str, str], **more: str) -> Path:
    return write_model(repository, "m", MODEL, config(*checksums, **more))


def only_problem(repository: Path) -> Problem:
    (problem,) = check_repository(repository)
    assert problem.blocks
    return problem


def refusal(repository: Path) -> InternalError:
    """What a server says, which says what `repo check` does, in Triton's kind."""
    with Engine(repository, options=EXPLICIT) as engine:
        with pytest.raises(InternalError) as refused:
            engine.load("m")
        assert not engine.model_ready("m")
        assert str(refused.value) in [row.reason for row in engine.repository_index().models]
    assert str(only_problem(repository)) in str(refused.value)
    assert str(refused.value).startswith("failed to load 'm', failed to poll from model repository: ")
    return refused.value


@pytest.mark.parametrize("checksums", [
    [("MD5:1/model.onnx", MD5)],
    [("md5:1/model.onnx", MD5)],
    [("SHA256:1/model.onnx", SHA256)],
    [("sha256:./1/model.onnx", SHA256), ("MD5:1/model.onnx", MD5)],
    [],
])  # fmt: skip
def test_a_model_whose_files_are_right_is_loaded(tmp_path: Path, checksums: list):
    write(tmp_path, *checksums)
    assert check_repository(tmp_path) == []
    with Engine(tmp_path) as engine:
        assert engine.infer("m", PAIR).outputs["OUTPUT0"].tolist() == [[2.0] * 16]
        assert [agent.name for agent in engine.model_config("m").model_repository_agents.agents] == ["checksum"]


@pytest.mark.parametrize(("key", "value", "got"), [
    ("MD5:1/model.onnx", "invalid_checksum", MD5),
    ("MD5:1/model.onnx", "", MD5),
    ("MD5:1/model.onnx", SHA256, MD5),
    ("SHA256:1/model.onnx", "0" * 64, SHA256),
])  # fmt: skip
def test_a_file_that_is_another_is_refused(
    tmp_path: Path, key: str, value: str, got: str, caplog: pytest.LogCaptureFixture
):
    write(tmp_path, (key, value))
    algorithm = key.partition(":")[0]
    words = f"Mismatched {algorithm} hash for file 1/model.onnx, expect: {value}, got: {got}"
    assert words in str(refusal(tmp_path))
    assert f"'m': {words}" in caplog.text  # as in Triton's log
    problem = only_problem(tmp_path)
    assert (problem.line, problem.field) == (6, f'model_repository_agents.agents[0].parameters["{key}"]')
    assert problem.edits == ()  # only a person knows which of the two is right


def test_a_hash_in_capitals_is_put_right(tmp_path: Path):
    folder = write(tmp_path, ("MD5:1/model.onnx", MD5.upper()))
    assert "Mismatched MD5 hash" in str(refusal(tmp_path))
    file = folder / "config.pbtxt"
    file.write_text(apply_edits(file.read_text(), only_problem(tmp_path).edits))
    assert check_repository(tmp_path) == []


@pytest.mark.parametrize(("key", "found"), [
    ("1/model.onnx", "failed to parse key: 1/model.onnx"),
    ("SHA1:1/model.onnx", "Unsupported checksum algorithm: SHA1"),
    (":1/model.onnx", "Unsupported checksum algorithm: "),
    ("MD5:", "names no file"),
    ("MD5:../other", "leaves the folder"),
    ("MD5:/etc/passwd", "an absolute path"),
    ("MD5:1/model.plan", "'1/model.plan', which is not in "),
    ("MD5:1", "'1', which is a folder"),
    ("MD5:1/model.onnx/x", "'1/model.onnx/x', which is Not a directory"),
    ("MD5:pipe", "'pipe', which is a named pipe"),
])  # fmt: skip
def test_what_cannot_be_compared_is_told(tmp_path: Path, key: str, found: str):
    folder = write(tmp_path, (key, MD5))
    os.mkfifo(folder / "pipe")
    assert found in str(refusal(tmp_path))


@pytest.mark.parametrize("agent", ["decrypt", "Checksum", ""])
def test_an_agent_that_there_is_not_is_refused_by_name(tmp_path: Path, agent: str):
    folder = write(tmp_path, ("key", "meant for it"), agent=agent)
    assert f"agents[0].name: found '{agent}', expected 'checksum'" in str(refusal(tmp_path))
    if agent:
        file = folder / "config.pbtxt"
        file.write_text(apply_edits(file.read_text(), only_problem(tmp_path).edits))
        assert check_repository(tmp_path) == []


def test_every_wrong_file_is_told_at_once(tmp_path: Path):
    folder = write(tmp_path, ("MD5:labels.txt", "0"), ("MD5:1/model.onnx", "1"), ("SHA256:1/model.onnx", SHA256))
    (folder / "labels.txt").write_text("x")
    assert sorted(problem.found.partition(",")[0] for problem in check_repository(tmp_path)) == [
        "Mismatched MD5 hash for file 1/model.onnx",
        "Mismatched MD5 hash for file labels.txt",
    ]


# --- other ways to come in ---


def pushed(*checksums: tuple[str, str]) -> str:
    message = text_format.Parse(config(*checksums), ModelConfig())
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def test_files_that_come_with_a_request_are_compared(tmp_path: Path):
    before = len(pushed_folders())  # unpacked environments of Python models lie there as well
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("m", pushed(("MD5:1/model.onnx", MD5)), {"1/model.onnx": MODEL})
        assert engine.infer("m", PAIR)
        with pytest.raises(InternalError, match=r"in the parameter 'config'.*Mismatched MD5"):
            engine.load("m", pushed(("MD5:1/model.onnx", MD5)), {"1/model.onnx": OTHER})
        assert engine.infer("m", PAIR)  # the copy before
        assert len(pushed_folders()) == before + 1


def test_a_configuration_that_comes_with_a_request_has_its_own_checksums(tmp_path: Path):
    write_model(tmp_path, "m", MODEL)
    with Engine(tmp_path) as engine:
        with pytest.raises(InternalError, match="Mismatched SHA256 hash"):
            engine.load("m", pushed(("SHA256:1/model.onnx", MD5)))
        engine.load("m", pushed(("SHA256:1/model.onnx", SHA256)))
        assert engine.infer("m", PAIR)


def test_a_file_that_changes_under_poll_is_not_loaded_without_its_checksum(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = write(tmp_path, ("MD5:1/model.onnx", MD5))
    with Engine(tmp_path, options=POLL) as engine:
        model = engine.model("m")
        (folder / "1" / "model.onnx").write_bytes(OTHER)
        until(lambda: "'m': Mismatched MD5 hash for file 1/model.onnx" in caplog.text)
        assert engine.model("m") is model
        (folder / "config.pbtxt").write_text(config(("MD5:1/model.onnx", hashlib.md5(OTHER).hexdigest())))
        until(lambda: engine.model("m") is not model)
        assert engine.model_metadata("m").inputs[0].shape == [-1, 4]


def test_more_instances_of_a_file_that_is_another_by_now_are_refused(tmp_path: Path):
    folder = write(tmp_path, ("MD5:1/model.onnx", MD5))
    with Engine(tmp_path) as engine:
        model, status = engine.model("m"), (folder / "1" / "model.onnx").stat()
        (folder / "1" / "model.onnx").write_bytes(MODEL[:-1] + b"\x00")
        os.utime(folder / "1" / "model.onnx", ns=(status.st_atime_ns, status.st_mtime_ns))
        (folder / "config.pbtxt").write_text(
            config(("MD5:1/model.onnx", MD5), more="instance_group { kind: KIND_CPU count: 2 }")
        )
        with pytest.raises(InternalError, match="Mismatched MD5"):
            engine.load("m")
        assert engine.model("m") is model
        assert len(model.instances) == 1


def test_an_ensemble_is_not_ready_over_a_file_that_is_another(tmp_path: Path):
    write(tmp_path, ("MD5:1/model.onnx", "0"), more="max_batch_size: 8")
    step = ("m", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})
    write_ensemble(tmp_path, "pipe", ensemble(["A", "B"], ["S"], [step]))
    words = "ensemble 'pipe' depends on 'm' which has no loaded version"
    assert [problem.found for problem in check_repository(tmp_path, "pipe")] == [words]
    with Engine(tmp_path) as engine:
        assert states(engine) == {"m/": "UNAVAILABLE", "pipe/1": "UNAVAILABLE"}


# --- the bytes that are loaded ---


def change_content(file: Path) -> None:
    status = file.stat()
    with file.open("r+b") as content:  # in place, of the same size, and with its old time
        content.seek(-1, os.SEEK_END)
        content.write(b"\x00")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_file(file: Path) -> None:
    status = file.stat()
    other = file.with_name("other")
    other.write_bytes(MODEL)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("change", [change_content, change_file, Path.unlink])
def test_a_file_that_changes_while_it_is_loaded_is_noticed(tmp_path: Path, change: Callable[[Path], None]):
    folder = write(tmp_path, ("MD5:labels.txt", hashlib.md5(MODEL).hexdigest()))
    (folder / "labels.txt").write_bytes(MODEL)
    draft = Draft(ModelFolder("m", folder))
    draft.verify()
    assert draft.problems == []
    until(lambda: changed_since(folder / "labels.txt"))
    change(folder / "labels.txt")
    loaded, failed = load_versions(draft, [1], no_steps, None, None)
    assert loaded == []
    assert "labels.txt was changed after its checksum was compared" in failed[1]
    with pytest.raises(InvalidArgumentError, match="was changed"):
        draft.confirm()


def no_steps(name: str, version: str) -> Model:
    raise NotFoundError(f"{name} {version}")


def changed_since(file: Path) -> bool:
    """Whether the file system's clock goes on: it ticks some hundred times a second only."""
    probe = file.with_name("probe")
    probe.write_bytes(b"")
    return probe.stat().st_ctime_ns > file.stat().st_ctime_ns


def test_requests_are_answered_while_a_large_file_is_read(tmp_path: Path):
    folder = write(tmp_path, ("SHA256:large", "0"))
    with (folder / "large").open("wb") as large:
        large.truncate(1 << 29)  # a hole: it takes no place, and as long to read as any
    write_model(tmp_path, "other", MODEL)
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("other")
        loading = engine.begin_load("m")
        answered = 0
        while not loading.done():
            engine.infer("other", PAIR)
            answered += 1
        assert answered > 1
        assert "Mismatched SHA256 hash for file large" in str(loading.exception())
