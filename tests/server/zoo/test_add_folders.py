"""`add_model` and folders: which of what they hold is the model, what goes along, and what is said of the others."""

import os
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from tcli_server import Engine
from tcli_server.errors import AlreadyExistsError, ConfigError, InvalidArgumentError, ServerError
from tcli_server.models.check import check_repository
from tcli_server.repository import read_config
from tcli_server.zoo import AddedModel, add_model

DOUBLE = """
import triton_python_backend_utils as pb_utils
from .helper import double

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_FP32", "dims": [4]})
        config.add_output({"name": "Y", "data_type": "TYPE_FP32", "dims": [4]})
        config.set_max_batch_size(8)
        config.set_dynamic_batching()
        return config

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", double(array))]) for array in inputs]
"""
SILENT = DOUBLE.replace("    @staticmethod\n", "").replace("auto_complete_config", "nothing_of_this_name")


def write(path: Path, content: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def python_model(folder: Path, code: str = DOUBLE) -> Path:
    write(folder / "model.py", code)
    write(folder / "helper.py", "def double(x): return x * 2\n")
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def add(source: Path, tmp_path: Path, **more: object) -> AddedModel:
    added = add_model(source, tmp_path / "models", **more)
    assert check_repository(tmp_path / "models") == []
    return added


def refuses(source: Path, tmp_path: Path, says: str, kind: type[ServerError] = InvalidArgumentError) -> None:
    with pytest.raises(kind, match=says):
        add_model(source, tmp_path / "models")
    assert not (tmp_path / "models").exists()


# --- ONNX ---


def test_a_folder_with_one_model_and_its_weights(tmp_path: Path):
    onnx_models.save_with_external_weights(write(tmp_path / "net" / "export.onnx"), "export.onnx_data")
    write(tmp_path / "net" / "README.md", "hello")
    added = add(tmp_path / "net", tmp_path)
    assert added.path.name == "net"
    assert files(added.path) == ["1/export.onnx_data", "1/model.onnx", "config.pbtxt"]


def test_a_folder_as_the_hub_leaves_it(tmp_path: Path):
    """Links from a snapshot into the blobs, external weights among them, and other formats beside."""
    hub = tmp_path / "models--org--tiny-net"
    onnx_models.save_with_external_weights(write(hub / "made" / "model.onnx"), "model.onnx_data")
    snapshot = hub / "snapshots" / "0123abc"
    for name in ("model.onnx", "model.onnx_data"):
        blob = write(hub / "blobs" / name.encode().hex(), (hub / "made" / name).read_bytes())
        (snapshot / "onnx").mkdir(parents=True, exist_ok=True)
        (snapshot / "onnx" / name).symlink_to(os.path.relpath(blob, snapshot / "onnx"))
    write(snapshot / "onnx" / "model_quantized.onnx", onnx_models.add_sub())
    write(snapshot / "model.safetensors", b'\x10\0\0\0\0\0\0\0{"a":1}')
    write(snapshot / "pytorch_model.bin", b"\x80\x02\x8a\x0al")
    write(snapshot / "training_args.pt", b"\x80\x02\x8a\x0al")
    write(snapshot / "config.json", "{}")
    added = add(snapshot, tmp_path)
    assert added.path.name == "tiny-net"
    assert files(added.path) == ["1/model.onnx", "1/model.onnx_data", "config.pbtxt"]
    assert not any(path.is_symlink() for path in added.path.rglob("*"))
    assert [
        note
        for note in added.notes
        if "model.onnx was taken; beside it there are also onnx/model_quantized.onnx" in note
    ]


def test_weights_that_would_take_the_models_place(tmp_path: Path):
    onnx_models.save_with_external_weights(write(tmp_path / "net" / "export.onnx"), "model.onnx")
    refuses(tmp_path / "net" / "export.onnx", tmp_path, "would take its place")


def test_several_models_are_listed(tmp_path: Path):
    for name in ("a.onnx", "b.onnx"):
        write(tmp_path / "net" / name, onnx_models.add_sub())
    refuses(
        tmp_path / "net", tmp_path, r"has several models \(a.onnx, b.onnx\): name the one that you mean, as .*a\.onnx"
    )
    assert add(tmp_path / "net" / "b.onnx", tmp_path).path.name == "b"


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({}, "holds no model: expected one of .*model.onnx.*found nothing"),
        ({"readme.txt": b"hello"}, "holds no model: .*found readme.txt"),
        (
            {"model.safetensors": b'\x10\0\0\0\0\0\0\0{"a":1}'},
            "model.safetensors is a safetensors file: it holds weights only",
        ),
        ({"pytorch_model.bin": b"\x80\x02\x8a\x0al"}, "pytorch_model.bin is a pickle, as torch.save writes it"),
        ({"model.onnx": b"<!doctype html>"}, "model.onnx is an HTML page"),
        ({"note.xml": b"<note/>", "tool.py": b"print()"}, "holds no model"),
    ],
)
def test_a_folder_without_a_model_is_told_what_it_holds(tmp_path: Path, there: dict[str, bytes], says: str):
    (tmp_path / "net").mkdir()
    for name, content in there.items():
        write(tmp_path / "net" / name, content)
    refuses(tmp_path / "net", tmp_path, says)


def test_what_is_in_a_repository_already_needs_no_adding(tmp_path: Path):
    model = write(tmp_path / "repo" / "net" / "1" / "model.onnx", onnx_models.add_sub()).parents[1]
    refuses(
        model, tmp_path, r"is a model's folder as a repository has it already: copy it there as it is \(cp -r .*net"
    )
    write(model / "config.pbtxt", 'platform: "onnxruntime_onnx"')
    refuses(model, tmp_path, "is a model's folder as a repository has it already")
    refuses(model.parent, tmp_path, r"is a model repository \(it has net/config.pbtxt\): serve it as it is: tcli serve")


def test_a_path_that_is_nothing_or_no_file(tmp_path: Path):
    refuses(tmp_path / "absent", tmp_path, "absent does not exist: name the one that you mean")
    os.mkfifo(tmp_path / "pipe.onnx")
    refuses(tmp_path / "pipe.onnx", tmp_path, "is a named pipe, not a model's file or folder")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "absent")
    refuses(tmp_path / "link.onnx", tmp_path, "link.onnx does not exist")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    refuses(tmp_path / "round", tmp_path, "round is not to be reached")


def test_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "here" / "model.onnx", onnx_models.add_sub())
    monkeypatch.chdir(tmp_path / "here")
    assert add(Path(), tmp_path).path.name == "here"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(tmp_path: Path):
    write(tmp_path / "net.onnx", onnx_models.add_sub()).chmod(0)
    refuses(tmp_path / "net.onnx", tmp_path, r"cannot be read \(Permission denied\)")


# --- Python ---


def test_a_python_model_goes_with_its_helpers(tmp_path: Path):
    folder = python_model(tmp_path / "twice")
    write(folder / "data" / "words.txt", "a")
    write(folder / "__pycache__" / "model.pyc")
    write(folder / ".git" / "config")
    write(folder / "weights.onnx", onnx_models.add_sub())
    added = add(folder, tmp_path)
    wanted = ["1/data/words.txt", "1/helper.py", "1/model.py", "1/weights.onnx", "config.pbtxt"]
    assert [name for name in files(added.path) if "__pycache__" not in name] == wanted
    assert (added.config.backend, added.config.max_batch_size) == ("python", 8)
    with Engine(tmp_path / "models") as engine:
        answer = engine.infer("twice", {"X": np.array([[1, 2, 3, 4]], np.float32)}).outputs["Y"]
    assert answer.tolist() == [[2, 4, 6, 8]]


def test_a_repository_in_the_folder_of_the_model_is_no_part_of_it(tmp_path: Path):
    folder = python_model(tmp_path / "twice")
    write(folder / "saved_model.pb", "weights, for the code to load")
    for _ in range(2):
        added = add_model(folder, folder / "model_repository", force=True)
    wanted = ["1/helper.py", "1/model.py", "1/saved_model.pb", "config.pbtxt"]
    assert [name for name in files(added.path) if "__pycache__" not in name] == wanted


def test_a_python_file_alone(tmp_path: Path):
    code = DOUBLE.replace("from .helper import double", "double = lambda array: array * 2")
    assert files(add(write(tmp_path / "twice.py", code), tmp_path).path) == ["1/model.py", "config.pbtxt"]
    tool = write(tmp_path / "tool.py", "print(1)")
    with pytest.raises(InvalidArgumentError, match=r"tool.py is a Python file without a class TritonPythonModel"):
        add_model(tool, tmp_path / "models")


def test_a_python_model_that_says_nothing(tmp_path: Path):
    refuses(
        python_model(tmp_path / "twice", SILENT),
        tmp_path,
        "let it say so in auto_complete_config, or put a config.pbtxt",
    )


def test_a_python_model_that_does_not_load(tmp_path: Path):
    refuses(
        python_model(tmp_path / "t", DOUBLE + "\n    def initialize(self, args):\n        1 / 0"),
        tmp_path,
        "ZeroDivision",
        ServerError,
    )


def test_a_configuration_beside_the_model_is_taken_as_it_is(tmp_path: Path):
    folder = python_model(tmp_path / "twice", SILENT)
    text = """# Mine.
name: "doubles"  # as it is called
backend: "python"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "names.txt" } ]
"""
    write(folder / "config.pbtxt", text)
    write(folder / "names.txt", "a\nb\nc\nd\n")
    added = add(folder, tmp_path)
    assert added.path.name == "doubles"
    assert (added.path / "config.pbtxt").read_text() == text
    assert files(added.path) == ["1/helper.py", "1/model.py", "config.pbtxt", "names.txt"]
    other = add(folder, tmp_path, name="other", comments=("From far away.",))
    assert (other.path / "config.pbtxt").read_text() == "# From far away.\n" + text.replace('"doubles"', '"other"')
    with pytest.raises(InvalidArgumentError, match=r"max_batch_size is 4 as asked for, but .*config.pbtxt says 0"):
        add_model(folder, tmp_path / "models", name="third", max_batch_size=4)
    with pytest.raises(InvalidArgumentError, match=r"cannot be used, as there is a config.pbtxt beside the model"):
        add_model(folder, tmp_path / "models", name="third", labels=folder / "names.txt")
    (folder / "names.txt").write_text("a\n")
    assert (
        "found 1 labels in " + str(tmp_path / "models" / "third" / "names.txt")
        in add_model(folder, tmp_path / "models", name="third").notes[1]
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [("inpt {}", "twice/config.pbtxt:6: inpt"), ("max_batch_size: -1", "twice/config.pbtxt.*max_batch_size")],
)
def test_a_configuration_beside_the_model_that_is_wrong(tmp_path: Path, line: str, says: str):
    folder = python_model(tmp_path / "twice", SILENT)
    ios = "\n".join(f'{io} [ {{ name: "A" data_type: TYPE_FP32 dims: [ 4 ] }} ]' for io in ("input", "output"))
    write(folder / "config.pbtxt", f'name: "twice"\nbackend: "python"\n{ios}\n\n{line}\n')
    refuses(folder, tmp_path, says, ServerError)


# --- what goes wrong on the way ---


def test_links_that_go_in_circles(tmp_path: Path):
    folder = python_model(tmp_path / "twice")
    (folder / "again").symlink_to(folder)
    refuses(folder, tmp_path, "again is a link to a folder that it lies in: remove it")


def test_files_that_are_none(tmp_path: Path):
    folder = python_model(tmp_path / "twice")
    os.mkfifo(folder / "pipe")
    refuses(folder, tmp_path, "pipe is a named pipe, which cannot be copied into a repository")


def test_more_files_than_a_model_has(tmp_path: Path):
    folder = python_model(tmp_path / "twice")
    (folder / "many").mkdir()
    for number in range(10_001):
        (folder / "many" / str(number)).touch()
    refuses(folder, tmp_path, "holds more than 10,000 files")


@pytest.mark.parametrize("kind", ["folder", "file", "link to nothing"])
def test_a_name_that_is_taken(tmp_path: Path, kind: str):
    source = write(tmp_path / "net.onnx", onnx_models.add_sub())
    taken = tmp_path / "models" / "net"
    if kind == "folder":
        write(taken / "keep.txt", "mine")
    elif kind == "file":
        write(taken, "mine")
    else:
        taken.parent.mkdir()
        taken.symlink_to(tmp_path / "nothing")
    with pytest.raises(AlreadyExistsError):
        add_model(source, tmp_path / "models")
    assert taken.is_symlink() or (taken / "keep.txt").exists() or taken.read_text() == "mine"
    add(source, tmp_path, force=True)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["net"]
    assert read_config(taken / "config.pbtxt").name == "net"


def test_a_failure_with_force_leaves_what_was_there(tmp_path: Path):
    write(tmp_path / "models" / "net" / "1" / "model.onnx", onnx_models.add_sub())
    before = files(tmp_path / "models")
    with pytest.raises(ServerError):
        add_model(write(tmp_path / "net.onnx", b"\x08\x08\x12"), tmp_path / "models", force=True)
    assert files(tmp_path / "models") == before
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["net"]


def test_names_and_comments_are_text(tmp_path: Path):
    strange = tmp_path / os.fsdecode(b"caf\xe9\n\x1b x.onnx")
    added = add(write(strange, onnx_models.add_sub()), tmp_path, comments=('Licence: MIT\nname: "evil"',))
    text = (added.path / "config.pbtxt").read_text("utf-8")
    assert '# Licence: MIT\n# name: "evil"\n' in text
    assert added.config.name == "caf_x"
    assert read_config(added.path / "config.pbtxt") == added.config


def test_a_repository_that_is_a_file(tmp_path: Path):
    source = write(tmp_path / "net.onnx", onnx_models.add_sub())
    write(tmp_path / "models", "mine")
    with pytest.raises(ServerError, match="cannot write into"):
        add_model(source, tmp_path / "models")


def test_problems_of_a_configuration_are_one_error(tmp_path: Path):
    folder = python_model(tmp_path / "twice", SILENT)
    write(folder / "config.pbtxt", "a b c")
    refuses(folder, tmp_path, "config.pbtxt:1", ConfigError)
