"""What `tcli repo check`, and so loading, says of PyTorch's files and their configurations."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from tcli_server.models.check import check_repository
from tcli_server.repository.problem import Problem

torch = pytest.importorskip("torch")
import torch_models as models  # noqa: E402
from torch_models import tensor  # noqa: E402

IO = tensor("input", "x", "4") + tensor("input", "y", "3") + tensor("output", "OUTPUT__0", "3")


def problems(repository: Path, module: torch.nn.Module, config: str) -> list[Problem]:
    models.write_script(repository, "model", module, config)
    return check_repository(repository)


def place(repository: Path, content: bytes, name: str = "model.pt") -> Problem:
    (repository / "model" / "1").mkdir(parents=True)
    (repository / "model" / "1" / name).write_bytes(content)
    (problem,) = check_repository(repository)
    assert problem.file == repository / "model" / "1" / name
    return problem


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def test_a_good_model_has_no_problems(tmp_path: Path):
    assert problems(tmp_path, models.AddSub(), IO) == []


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_an_eager_checkpoint_is_called_what_it_is(tmp_path: Path, options: dict[str, object]):
    problem = place(tmp_path, saved(models.AddSub().state_dict(), **options))
    assert "torch.save writes it" in problem.found
    assert "torch.export.save(torch.export.export(model.eval()" in problem.fix
    assert 'torch.jit.script(model.eval()).save("model.pt")' in problem.fix


def test_files_that_are_something_else(tmp_path: Path):
    script = models.write_script(tmp_path / "whole", "m", models.AddSub(), IO).read_bytes()
    exported = models.write_exported(tmp_path / "whole", "e", models.Identity(), (torch.ones(2),)).read_bytes()
    for index, (content, name, found) in enumerate(
        [
            (script[: len(script) // 2], "model.pt", "no file of PyTorch's, or a truncated one"),
            (exported[:-100], "model.pt2", "no file of PyTorch's, or a truncated one"),
            (b"", "model.pt", "an empty file"),
            (b"<!DOCTYPE html><title>Not Found</title>", "model.pt2", "an HTML page titled 'Not Found'"),
            (b"version https://git-lfs.github.com/spec/v1\nsize 12\n", "model.pt", "a Git LFS pointer"),
            (b"\x08\x07\x12\x00nonsense", "model.pt", "no file of PyTorch's, or a truncated one"),
        ]
    ):
        assert found in place(tmp_path / str(index), content, name).found


def test_what_is_in_a_file_counts_and_not_its_name(tmp_path: Path):
    file = models.write_exported(tmp_path, "model", models.Identity(), (torch.ones(2),))
    file.rename(file.with_name("model.pt"))
    assert check_repository(tmp_path) == []


def test_a_file_with_damaged_code(tmp_path: Path):
    file = models.write_script(tmp_path, "model", models.AddSub(), IO)
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, b"nonsense (" if name.endswith("torch_models.py") else content)
    (problem,) = check_repository(tmp_path)
    assert f"refused by PyTorch {torch.__version__}" in problem.found
    assert "\n" not in problem.found


def test_a_script_file_says_too_little_to_complete_a_configuration(tmp_path: Path):
    first, second = problems(tmp_path, models.AddSub(), "max_batch_size: 4")
    assert (first.field, first.expected) == (
        "input",
        "every input with its type and dims, as the model file says neither",
    )
    assert 'input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } input { name: "y"' in first.fix
    assert (second.field, second.found) == ("output", "no output")


def test_everything_that_is_wrong_with_names_at_once(tmp_path: Path):
    io = tensor("input", "INPUT__0", "4") + tensor("input", "INPUT__7", "3")
    found = problems(tmp_path, models.AddSub(), io + tensor("output", "OUTPUT__2", "3"))
    fixes = {problem.field: problem.fix for problem in found}
    assert fixes == {"input[1].name": 'write name: "INPUT__1"', "output[0].name": 'write name: "OUTPUT__1"'}


def test_a_name_that_only_looks_right_is_not_taken_in_order(tmp_path: Path):
    io = tensor("input", "y", "3") + tensor("input", "xx", "4")
    found = problems(tmp_path, models.AddSub(), io + tensor("output", "OUTPUT__0", "3"))
    assert next((problem.field, problem.fix) for problem in found) == ("input[1].name", 'write name: "x"')


def test_parameters(tmp_path: Path):
    text = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
        for key, value in [
            ("INFERENCE_MODE", "maybe"),
            ("INTRA_OP_THREAD_COUNT", "0"),
            ("ENABLE_WEIGHT_SHARED", "true"),
            ("ENABLE_NVFUSER", "true"),
        ]
    )
    found = {problem.field: problem for problem in problems(tmp_path, models.AddSub(), IO + text)}
    assert found['parameters["INFERENCE_MODE"]'].expected == "true or false"
    assert found['parameters["INTRA_OP_THREAD_COUNT"]'].expected == "a whole number of threads, 1 or more"
    assert found['parameters["ENABLE_WEIGHT_SHARED"]'].fix == 'write "ENABLE_WEIGHT_SHARING", or remove it'
    assert len(found) == 3


def test_an_exported_program_is_compared_with_its_configuration(tmp_path: Path):
    io = tensor("input", "x", "5") + tensor("output", "OUTPUT__0", "4", "INT8")
    models.write_exported(tmp_path, "model", models.Identity(), (torch.ones(4),), io)
    found = check_repository(tmp_path)
    assert [problem.field for problem in found] == ["input[0].dims", "output[0].data_type"]


def test_strings_for_a_tensor(tmp_path: Path):
    io = tensor("input", "x", "1", "STRING") + tensor("output", "OUTPUT__0", "1")
    (problem,) = problems(tmp_path, models.Identity(), io)
    assert problem.found == "a model whose input 'x' is a Tensor"


def test_a_forward_that_takes_more_than_tensors(tmp_path: Path):
    class Powers(torch.nn.Module):
        def forward(self, x: torch.Tensor, exponents: list[int]) -> list[list[torch.Tensor]]:
            return [[x**exponent for exponent in exponents]]

    (problem,) = problems(tmp_path, Powers(), IO)
    assert problem.found == "a model whose forward takes 'exponents' as List[int]"


class Marker:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self._path),)


@pytest.mark.parametrize("place", ["sample_inputs", "weights", "constants"])
def test_no_pickled_code_runs_when_a_file_is_loaded(tmp_path: Path, place: str):
    mark = tmp_path / "was_here"
    file = models.write_exported(tmp_path, "model", models.AddSub(), (torch.rand(2, 4), torch.rand(2, 3)))
    evil = saved(Marker(str(mark)))
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    if place == "sample_inputs":
        entries = {name: evil if name.endswith("sample_inputs/model.pt") else each for name, each in entries.items()}
    else:
        name = next(name for name in entries if name.endswith(f"data/{place}/model_{place}_config.json"))
        document = json.loads(entries[name])
        path = "weight_0" if place == "weights" else "opaque_obj_0"
        document["config"]["linear.weight"] = {
            "path_name": path,
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        entries[name] = json.dumps(document).encode()
        entries[name.rpartition("/")[0] + "/" + path] = evil
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    (problem,) = check_repository(tmp_path)
    assert "could" in problem.found
    assert "any code" in problem.found
    assert not mark.exists()
