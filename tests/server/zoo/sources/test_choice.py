"""Which file of a repository is taken, and what is said about the others."""

import pytest

from hub_server import Hub, Repository
from tcli_server.errors import ServerError
from tcli_server.zoo.sources.address import parse_source
from tcli_server.zoo.sources.choice import Choice, choose_file
from tcli_server.zoo.sources.hub_client import look_up


def chosen(hub: Hub, text: str, *files: str) -> Choice:
    hub.repositories["org/name"] = Repository(dict.fromkeys(files, b"x" * 1_500_000), branches=("main", "v1"))
    return choose_file(look_up(parse_source(text)))


def refusal(hub: Hub, text: str, *files: str) -> str:
    with pytest.raises(ServerError) as caught:
        chosen(hub, text, *files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "files", "file"),
    [
        ("hf:org/name", ["README.md", "net.onnx", "net.onnx_data"], "net.onnx"),
        ("hf:org/name", ["onnx/model.onnx", "model.safetensors", "pytorch_model.bin"], "onnx/model.onnx"),
        ("hf:org/name", ["onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_fp16.onnx"], "onnx/model.onnx"),
        ("hf:org/name", ["onnx/model.onnx", "model.onnx"], "model.onnx"),
        ("hf:org/name", ["net.onnx", "net_int8.onnx", "net-fp16.onnx"], "net.onnx"),
        ("hf:org/name", ["a/model.onnx", "b/model.onnx", "onnx/model.onnx"], "onnx/model.onnx"),
        ("hf:org/name", ["openvino_model.xml", "openvino_model.bin", "model.onnx"], "model.onnx"),
        ("hf:org/name", ["openvino_model.xml", "openvino_model.bin", "config.json"], "openvino_model.xml"),
        ("hf:org/name", ["net.tflite", "custom_code.py"], "net.tflite"),
        ("hf:org/name/b/x.onnx", ["model.onnx", "b/x.onnx"], "b/x.onnx"),
        ("hf:org/name/b", ["model.onnx", "b/x.onnx", "b/model.onnx"], "b/model.onnx"),
    ],
)
def test_the_file_that_is_taken(hub: Hub, text: str, files: list[str], file: str):
    assert chosen(hub, text, *files).file == file


def test_the_only_one_needs_no_words(hub: Hub):
    assert chosen(hub, "hf:org/name", "a/b.onnx", "config.json").note is None


def test_a_choice_is_told_with_how_to_take_another(hub: Hub):
    choice = chosen(hub, "hf:org/name@v1", "onnx/model.onnx", "onnx/model_quantized.onnx")
    assert choice.note == (
        "took onnx/model.onnx of 2 model files (others: onnx/model_quantized.onnx); "
        "another one: hf:org/name/onnx/model_quantized.onnx@v1"
    )


@pytest.mark.parametrize(
    "files", [["encoder.onnx", "decoder.onnx"], ["a/model.onnx", "b/model.onnx"], ["m_fp16.onnx", "m_int8.onnx"]]
)
def test_what_nothing_decides_is_listed(hub: Hub, files: list[str]):
    told = refusal(hub, "hf:org/name@v1", *files)
    assert "2 files could be the model: name one:\n" in told
    for file in files:
        assert f"\n  hf:org/name/{file}@v1  1.5 MB" in told


def test_a_long_list_is_cut(hub: Hub):
    told = refusal(hub, "hf:org/name", *(f"{number}.onnx" for number in range(40)))
    assert told.endswith("\n  and 28 more")


def test_a_file_that_is_not_there_is_compared_with_those_that_are(hub: Hub):
    told = refusal(hub, "hf:org/name/onnx/modle.onnx", "onnx/model.onnx", "README.md")
    assert "the repository has no file 'onnx/modle.onnx': name one of\n  hf:org/name/onnx/model.onnx" in told


def test_weights_alone_are_told_to_be_exported(hub: Hub):
    told = refusal(hub, "hf:org/name", "model.safetensors", "config.json")
    assert "it has weights without a graph (model.safetensors): export it" in told
    assert "optimum-cli export onnx --model org/name" in told


def test_a_repository_without_any_model(hub: Hub):
    assert "no file of it can be served; it has README.md, data.csv" in refusal(
        hub, "hf:org/name", "README.md", "data.csv"
    )
    assert "it has no files" in refusal(hub, "hf:org/name")


def test_names_of_files_are_one_line_each(hub: Hub):
    told = refusal(hub, "hf:org/name", "a.onnx\n  hf:another/repository", "b.onnx", "c.onnx")
    assert "\n  hf:another" not in told
