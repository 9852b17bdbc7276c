"""Small OpenVINO models for the tests, made with OpenVINO itself, and its own answers to them."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import openvino as ov
import openvino.opset15 as ops

TYPES: dict[str, tuple[ov.Type, np.dtype]] = {
    "BOOL": (ov.Type.boolean, np.dtype(np.bool_)),
    "UINT8": (ov.Type.u8, np.dtype(np.uint8)),
    "UINT16": (ov.Type.u16, np.dtype(np.uint16)),
    "UINT32": (ov.Type.u32, np.dtype(np.uint32)),
    "UINT64": (ov.Type.u64, np.dtype(np.uint64)),
    "INT8": (ov.Type.i8, np.dtype(np.int8)),
    "INT16": (ov.Type.i16, np.dtype(np.int16)),
    "INT32": (ov.Type.i32, np.dtype(np.int32)),
    "INT64": (ov.Type.i64, np.dtype(np.int64)),
    "FP16": (ov.Type.f16, np.dtype(np.float16)),
    "FP32": (ov.Type.f32, np.dtype(np.float32)),
    "FP64": (ov.Type.f64, np.dtype(np.float64)),
    "BF16": (ov.Type.bf16, np.dtype(ml_dtypes.bfloat16)),
}
"""V2 name -> OpenVINO's type and numpy's."""

TFLITE = zlib.decompress(
    base64.b85decode(
        "c-n1KO-mb56un7C4I0u^)7piLEL=*|)DLi@AzBpt!Ul0sIvto%29gotBt#I}g^T_Gmo8jLap9srz=i7)N)ea(57d=gou2#V&U8BM"
        "C5L(MymRlnA1^~hRDHMnHctf_qBoSM9A&_zNyD1J5gh_Iz(s<n16-$w@FOgtX6sd6?9+=~M*Jp#7r>s?XxYw=Zd%($v*s#44LJ2Y"
        "Pm?us`|{=e&u9OP_iZ34@tC`TUyrN@fXdqH=EBDNrL|RkWuaQ0FIUUR#m^^=^X`bYZaaFT>9}^?(py$z&)#*EhU>cqE;%pY7&ro4"
        "@%<>dehO>m9%aKjm>X7Xx8j03N%bS>tEPH0ZGHYeICXoUlDag>u~aOL7srTx$Xy(Byg12JXva^UcLF>_dIy_}-|O>VW;@XS0(cH9"
        "%S#)D%C3XDUCS)0-sY7q8)nEcvcmHWPoy7b60>gD4oTiy|MBmO_`~{gvgW(CFw<bZ>>s=#_Rp(&|M*LfUu9%{B)&n<f*cZ&_rul&"
        "JObyy0kA0NQ|K4VauSbq1>g>GU*fxNG+f)oYp~3UQLD|2#p1VO{=s}kz;jOZX6-Nix0pU9efR*r%h!*#CFiS{HYwV#qBTr&bU%Cn"
        "uT`%}rsZ1?SY=_1gw)qTjDdgugL)ekM)OU|ywhs0DK4YtL5kry^!s=8{|4_un1}"
    )
)
"""`PartitionedCall:0` = 2 * `serving_default_x:0` + 1, both [1, 4] floats: TensorFlow 2.21's own conversion."""


def parameter(name: str, kind: ov.Type = ov.Type.f32, shape: Sequence[object] = (-1, 16)) -> ov.Node:
    """An input of that name."""
    node = ops.parameter(ov.PartialShape(list(shape)), kind, name=name)
    node.output(0).set_names({name})
    return node


def named(node: ov.Node, name: str) -> ov.Node:
    """A node whose output has that name."""
    node.output(0).set_names({name})
    return node


def add_sub(kind: ov.Type = ov.Type.f32, shape: Sequence[object] = (-1, 16)) -> ov.Model:
    """OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1; exclusive or and and for booleans."""
    a, b = parameter("INPUT0", kind, shape), parameter("INPUT1", kind, shape)
    plus, minus = (ops.logical_xor, ops.logical_and) if kind == ov.Type.boolean else (ops.add, ops.subtract)
    return ov.Model([named(plus(a, b), "OUTPUT0"), named(minus(a, b), "OUTPUT1")], [a, b], "add_sub")


def product(shape: Sequence[object] = (-1, 16), weights: np.ndarray | None = None) -> ov.Model:
    """Y = X @ weights, which lie in the .bin file; 16 rows."""
    held = np.random.default_rng(7).random((16, 8), np.float32) if weights is None else weights
    x = parameter("X", shape=shape)
    return ov.Model([named(ops.matmul(x, ops.constant(held), False, False), "Y")], [x], "product")


def text(shape: Sequence[object] = (-1, -1)) -> ov.Model:
    """IN is both the input and the output: strings."""
    x = parameter("IN", ov.Type.string, shape)
    return ov.Model([ops.result(x)], [x], "text")


def save(model: ov.Model, repository: Path, name: str, config: str = "") -> Path:
    """Write `<repository>/<name>/1/model.xml` and `.bin`, and a config.pbtxt if given; gives the model's folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    ov.save_model(model, folder / "1" / "model.xml", compress_to_fp16=False)
    if config:
        (folder / "config.pbtxt").write_text(config)
    return folder


def own_answers(file: Path, inputs: Mapping[str, np.ndarray], properties: Mapping[str, object] | None = None) -> list:
    """What OpenVINO alone answers."""
    compiled = ov.Core().compile_model(str(file), "CPU", dict(properties or {}))
    request = compiled.create_infer_request()
    for name, array in inputs.items():
        is_bfloat = array.dtype == ml_dtypes.bfloat16
        tensor = (
            ov.Tensor(array.view(np.uint16), ov.Shape(array.shape), ov.Type.bf16) if is_bfloat else ov.Tensor(array)
        )
        request.set_tensor(name, tensor)
    request.infer()
    outputs = [request.get_output_tensor(index) for index in range(len(compiled.outputs))]
    return [
        tensor.data.copy().view(ml_dtypes.bfloat16) if tensor.element_type == ov.Type.bf16 else tensor.data.copy()
        for tensor in outputs
    ]
