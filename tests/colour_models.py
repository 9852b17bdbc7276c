"""A repository of image classifiers whose answers are plain: class 0, 1, 2 score the mean red, green, blue of a picture."""

from pathlib import Path

from onnx import TensorProto, helper

HEIGHT, WIDTH = 8, 6
LABELS = "red: hot\ngreen\nblue\n"

_FLOAT = TensorProto.FLOAT
_CONFIG_TYPES = {_FLOAT: "TYPE_FP32", TensorProto.FLOAT16: "TYPE_FP16", TensorProto.UINT8: "TYPE_UINT8"}
_PLACEHOLDER = 'parameters { key: "tcli_placeholder" value { string_value: "random weights" } }'
_NO_SCALING = 'parameters { key: "tcli_image_scaling" value { string_value: "NONE" } }'


def colour_means(shape: tuple, kind: int = _FLOAT, output_kind: int = _FLOAT, layout: str = "NCHW") -> bytes:
    """scores [N, channels] = the mean over height and width of picture `shape`; one-channel pictures also score -mean."""
    channels = shape[1] if layout == "NCHW" else shape[3]
    nodes = [
        helper.make_node("Cast", ["picture"], ["values"], to=_FLOAT),
        helper.make_node("ReduceMean", ["values"], ["means"], axes=[2, 3] if layout == "NCHW" else [1, 2], keepdims=0),
        helper.make_node("Neg", ["means"], ["negative"]),
        helper.make_node("Concat", ["means", "negative"] if channels == 1 else ["means"], ["vector"], axis=1),
        helper.make_node("Cast", ["vector"], ["scores"], to=output_kind),
    ]
    source = helper.make_tensor_value_info("picture", kind, shape)
    target = helper.make_tensor_value_info("scores", output_kind, (shape[0], max(2, channels)))
    graph = helper.make_graph(nodes, "colours", [source], [target])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def write_colour_models(repository: Path) -> Path:
    """One model of each kind that an image client meets; `colours` is the one to be chosen when none is named."""
    chw, hwc = (3, HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)
    batch, single, no = ("N", *chw), (1, *chw), ""
    _write(repository, "colours", colour_means(batch), 4, chw, (3,), form="NCHW")
    _write(
        repository, "a_placeholder", colour_means(single), 0, chw, (3,), form="NCHW", reshape=True, more=_PLACEHOLDER
    )
    _write(repository, "nhwc", colour_means(("N", *hwc), layout="NHWC"), 4, hwc, (3,), form="NHWC", more=_NO_SCALING)
    _write(repository, "no_format", colour_means(("N", *hwc), layout="NHWC"), 4, hwc, (3,), form=no)
    _write(repository, "explicit", colour_means(batch), 0, (-1, *chw), (-1, 3), form=no)
    _write(repository, "fixed_two", colour_means((2, *chw)), 0, (2, *chw), (2, 3), form=no)
    _write(
        repository, "uint8", colour_means(batch, TensorProto.UINT8), 4, chw, (3,), form="NCHW", kind=TensorProto.UINT8
    )
    half = TensorProto.FLOAT16
    _write(repository, "half", colour_means(batch, half, half), 4, chw, (3,), form="NCHW", kind=half, output_kind=half)
    _write(
        repository,
        "half_two",
        colour_means((2, *chw), half, half),
        0,
        (2, *chw),
        (2, 3),
        form=no,
        kind=half,
        output_kind=half,
    )
    _write(repository, "grey", colour_means(("N", 1, *chw[1:])), 4, (1, *chw[1:]), (2,), form="NCHW")
    return repository


def _write(
    repository: Path,
    name: str,
    model: bytes,
    max_batch_size: int,
    dims: tuple,
    output_dims: tuple,
    form: str,
    kind: int = _FLOAT,
    output_kind: int = _FLOAT,
    reshape: bool = False,
    more: str = "",
) -> None:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(model)
    (folder / "labels.txt").write_text(LABELS)
    (folder / "config.pbtxt").write_text(f"""
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [ {{
  name: "picture" data_type: {_CONFIG_TYPES[kind]} dims: {list(dims)}
  {f"format: FORMAT_{form}" if form else ""}
  {f"reshape {{ shape: {[1, *dims]} }}" if reshape else ""}
}} ]
output [ {{
  name: "scores" data_type: {_CONFIG_TYPES[output_kind]} dims: {list(output_dims)} label_filename: "labels.txt"
  {f"reshape {{ shape: {[1, *output_dims]} }}" if reshape else ""}
}} ]
{more}
""")
