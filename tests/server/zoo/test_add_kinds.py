"""`add_model` for each framework that is installed: what was added loads, and answers as the framework itself does."""

from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.check import check_repository
from tcli_server.repository import read_config
from tcli_server.zoo import AddedModel, add_model

X = np.arange(8, dtype=np.float32).reshape(2, 4) / 4
Y = np.arange(6, dtype=np.float32).reshape(2, 3)


def add(source: Path, tmp_path: Path, max_batch_size: int | None = 0, **more: object) -> AddedModel:
    added = add_model(source, tmp_path / "models", max_batch_size=max_batch_size, **more)
    assert check_repository(tmp_path / "models") == []
    assert read_config(added.path / "config.pbtxt") == added.config
    return added


def infer(tmp_path: Path, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with Engine(tmp_path / "models") as engine:
        return dict(engine.infer(name, inputs).outputs)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def described(added: AddedModel) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in (*added.config.input, *added.config.output)}


class TestOpenVino:
    @pytest.fixture(autouse=True)
    def models(self) -> None:
        pytest.importorskip("openvino")

    @pytest.mark.parametrize("given", ["net.xml", "."], ids=["file", "folder"])
    def test_a_pair_of_files_of_any_name(self, tmp_path: Path, given: str):
        import openvino as ov

        import openvino_models as models

        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "other.xml").write_text("<note/>")
        ov.save_model(models.product(), tmp_path / "net" / "net.xml", compress_to_fp16=False)
        added = add(tmp_path / "net" / given, tmp_path)
        assert files(added.path) == ["1/model.bin", "1/model.xml", "config.pbtxt"]
        assert described(added) == {"X": [-1, 16], "Y": [-1, 8]}
        x = np.random.default_rng(1).random((3, 16), np.float32)
        own = models.own_answers(tmp_path / "net" / "net.xml", {"X": x})
        np.testing.assert_allclose(infer(tmp_path, "net", {"X": x})["Y"], own[0], rtol=1e-6)

    @pytest.mark.parametrize("name", ["net.tflite", "net.bin"])
    def test_tensorflow_lite(self, tmp_path: Path, name: str):
        import openvino_models as models

        (tmp_path / name).write_bytes(models.TFLITE)
        added = add(tmp_path / name, tmp_path)
        assert added.config.default_model_filename == "model.tflite"
        answer = infer(tmp_path, "net", {"serving_default_x:0": X[:1]})
        np.testing.assert_allclose(answer["PartitionedCall:0"], 2 * X[:1] + 1)

    def test_an_onnx_file_by_openvino(self, tmp_path: Path):
        import onnx_models

        onnx_models.save_with_external_weights(tmp_path / "net.onnx", "net.weights")
        by_onnx = add(tmp_path / "net.onnx", tmp_path, name="onnx")
        added = add(tmp_path / "net.onnx", tmp_path, backend="openvino")
        assert files(added.path) == ["1/model.onnx", "1/net.weights", "config.pbtxt"]
        assert (added.config.backend, added.config.default_model_filename) == ("openvino", "model.onnx")
        assert described(added) == described(by_onnx)

    def test_weights_that_are_missing_or_too_short(self, tmp_path: Path):
        import openvino as ov

        import openvino_models as models

        ov.save_model(models.product(), tmp_path / "net.xml", compress_to_fp16=False)
        (tmp_path / "net.bin").write_bytes(b"short")
        with pytest.raises(InvalidArgumentError, match=r"net\.bin is too short \(5 bytes\)") as error:
            add_model(tmp_path / "net.xml", tmp_path / "models")
        assert "models" not in str(error.value)
        (tmp_path / "net.bin").unlink()
        with pytest.raises(InvalidArgumentError, match="is missing, expected the 512 bytes of weights"):
            add_model(tmp_path / "net.xml", tmp_path / "models")
        assert not (tmp_path / "models").exists()


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def models(self) -> None:
        pytest.importorskip("torch")

    @pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
    def test_an_exported_program(self, tmp_path: Path, name: str):
        import torch

        import torch_models as models

        batch = torch.export.Dim("batch")
        module = models.AddSub().eval()
        program = torch.export.export(
            module, (torch.ones(2, 4), torch.ones(2, 3)), dynamic_shapes=({0: batch}, {0: batch})
        )
        torch.export.save(program, tmp_path / "net.pt2")
        (tmp_path / "net.pt2").rename(tmp_path / name)
        added = add(tmp_path / name, tmp_path)
        assert [tensor.name for tensor in added.config.input] == ["x", "y"]
        answer = infer(tmp_path, "net", {"x": X, "y": Y})
        for array, own in zip(answer.values(), module(torch.tensor(X), torch.tensor(Y)), strict=True):
            np.testing.assert_allclose(array, own.detach().numpy(), rtol=1e-5)

    def test_torchscript_with_the_inputs_that_are_told(self, tmp_path: Path):
        import torch

        import torch_models as models

        module = models.AddSub()
        torch.jit.script(module).save(str(tmp_path / "net.pt"))
        with pytest.raises(
            InvalidArgumentError, match=r"does not say of which type and shape 'x', 'y' are: .*--input x:FP32:"
        ):
            add_model(tmp_path / "net.pt", tmp_path / "models")
        added = add(tmp_path / "net.pt", tmp_path, inputs=("x:FP32:-1,4", "y:fp32:[-1, 3]"))
        assert described(added) == {"x": [-1, 4], "y": [-1, 3], "OUTPUT__0": [-1, 3], "OUTPUT__1": [-1, 3]}
        answer = infer(tmp_path, "net", {"x": X, "y": Y})
        for array, own in zip(answer.values(), module(torch.tensor(X), torch.tensor(Y)), strict=True):
            np.testing.assert_allclose(array, own.detach().numpy(), rtol=1e-5)
        batching = add(tmp_path / "net.pt", tmp_path, name="b", inputs=("x:FP32:-1,4", "y:FP32:-1,3"), max_batch_size=4)
        assert described(batching) == {"x": [4], "y": [3], "OUTPUT__0": [3], "OUTPUT__1": [3]}

    def test_torchscript_that_answers_a_dictionary_or_takes_text(self, tmp_path: Path):
        import torch

        import torch_models as models

        torch.jit.script(models.Named()).save(str(tmp_path / "named.pt"))
        named = add(tmp_path / "named.pt", tmp_path, inputs=("x:FP32:-1,4", "y:FP32:-1,3"))
        assert described(named) == {"x": [-1, 4], "y": [-1, 3], "sum": [-1, 3], "difference": [-1, 3]}
        torch.jit.script(models.Length()).save(str(tmp_path / "length.pt"))
        length = add(
            tmp_path / "length.pt", tmp_path, inputs=("words:STRING:-1,1", "scale:INT64:-1,1"), max_batch_size=4
        )
        assert described(length) == {"words": [1], "scale": [1], "OUTPUT__0": [1]}
        asked = {"words": np.array([[b"a"], [b"ccc"]], np.object_), "scale": np.array([[2], [2]], np.int64)}
        assert infer(tmp_path, "length", asked)["OUTPUT__0"].tolist() == [[2], [6]]
        with pytest.raises(InvalidArgumentError, match=r"found \[-1\] for 'words', expected \[ 1 \]"):
            add_model(
                tmp_path / "length.pt", tmp_path / "m", inputs=("words:STRING:-1", "scale:INT64:1"), max_batch_size=0
            )

    def test_torchscript_as_a_picture_that_is_told_beside_it(self, tmp_path: Path):
        import torch

        import torch_models as models

        (tmp_path / "net").mkdir()
        torch.jit.script(models.Identity()).save(str(tmp_path / "net" / "net.pt"))
        (tmp_path / "net" / "preprocessor_config.json").write_text('{"size": 32, "image_mean": 0.5, "image_std": 0.5}')
        added = add(tmp_path / "net", tmp_path)
        assert described(added) == {"x": [-1, 3, 32, 32], "OUTPUT__0": [-1, 3, 32, 32]}
        assert added.config.parameters["tcli_image_scaling"].string_value == "INCEPTION"

    @pytest.mark.parametrize(
        ("told", "says"),
        [
            ("x", "'x' is no input: expected NAME:TYPE:SHAPE"),
            ("x:FP32:4,", "is no input"),
            ("x:FP32:0", "is no input"),
            ("x:FLOAT:4", "has the type 'FLOAT', expected one of BOOL"),
            ("z:FP32:4", "has no input 'z': it has x, y"),
        ],
    )
    def test_what_is_told_wrongly(self, tmp_path: Path, told: str, says: str):
        import torch

        import torch_models as models

        torch.jit.script(models.AddSub()).save(str(tmp_path / "net.pt"))
        with pytest.raises(InvalidArgumentError, match=says):
            add_model(tmp_path / "net.pt", tmp_path / "models", inputs=(told,))
        with pytest.raises(InvalidArgumentError, match=r"net\.pt is one that fails on that .*'x' FP32 \[-1, 9\]"):
            add_model(tmp_path / "net.pt", tmp_path / "models", inputs=("x:FP32:-1,9", "y:FP32:-1,3"))
        assert not (tmp_path / "models").exists()

    def test_a_folder_of_training_has_one_model(self, tmp_path: Path):
        import torch

        import torch_models as models

        (tmp_path / "net").mkdir()
        torch.save(models.AddSub().state_dict(), tmp_path / "net" / "optimizer.pt")
        torch.export.save(torch.export.export(models.Identity(), (torch.ones(2, 4),)), tmp_path / "net" / "out.pt2")
        assert described(add(tmp_path / "net", tmp_path)) == {"x": [2, 4], "OUTPUT__0": [2, 4]}


class TestTensorFlow:
    @pytest.fixture(autouse=True)
    def models(self) -> None:
        pytest.importorskip("tensorflow")

    @pytest.mark.parametrize("given", ["net", "net/saved_model.pb", "net.savedmodel", "net/3", "up/net"])
    def test_a_saved_model(self, tmp_path: Path, given: str):
        import tensorflow as tf

        module = tf.Module()
        module.weights = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3))
        function = tf.function(
            lambda x: {"y": x @ module.weights}, input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")]
        )
        folder = tmp_path / given.removesuffix("/saved_model.pb")
        tf.saved_model.save(module, str(folder), signatures=function)
        added = add(tmp_path / given, tmp_path)
        assert added.path.name == "net"
        assert added.config.platform == "tensorflow_savedmodel"
        assert "1/model.savedmodel/saved_model.pb" in files(added.path)
        assert "1/model.savedmodel/variables/variables.index" in files(added.path)
        np.testing.assert_allclose(infer(tmp_path, "net", {"x": X})["y"], X @ module.weights.numpy())

    def test_the_latest_version_of_tensorflow_serving(self, tmp_path: Path):
        import tensorflow as tf

        for version, factor in ((2, 2.0), (10, 10.0)):
            module = tf.Module()
            function = tf.function(
                lambda x, factor=factor: x * factor, input_signature=[tf.TensorSpec([None], tf.float32)]
            )
            tf.saved_model.save(module, str(tmp_path / "net" / str(version)), signatures=function)
        added = add(tmp_path / "net", tmp_path)
        assert added.path.name == "net"
        source, target = added.config.input[0].name, added.config.output[0].name
        assert infer(tmp_path, "net", {source: np.ones(2, np.float32)})[target].tolist() == [10, 10]
        (tmp_path / "cut").mkdir()
        (tmp_path / "cut" / "saved_model.pb").write_bytes(b"\xff\xff")
        with pytest.raises(InvalidArgumentError, match=r"cut/saved_model\.pb is no SavedModel, or a truncated one"):
            add_model(tmp_path / "cut", tmp_path / "models")
