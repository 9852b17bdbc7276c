"""Model repositories for the tests, written from small models."""

from pathlib import Path

from onnx import TensorProto

import onnx_models
from tcli_server import Engine, temporary

V2_NAMES = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
    TensorProto.BFLOAT16: "BF16",
}
"""ONNX element type -> V2 name: every type that V2 names."""


def pushed_folders() -> list[str]:
    """The folders of pushed files that this process holds, whatever others hold meanwhile."""
    own = temporary._Own.folder
    return sorted(path.name for path in own.glob("tmp*")) if own is not None else []


def write_model(
    repository: Path, name: str, model: bytes, config: str | None = None, version: int = 1, **files: str
) -> Path:
    """Write `<repository>/<name>/<version>/model.onnx`, with a config.pbtxt and more files if given."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True, exist_ok=True)
    (folder / str(version) / "model.onnx").write_bytes(model)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for file, text in files.items():
        (folder / file).write_text(text)
    return folder


def add_sub_config(name: str = "add_sub", more: str = "dynamic_batching {}", max_batch_size: int = 8) -> str:
    """The configuration of `onnx_models.add_sub()`."""
    return f"""
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [
  {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }},
  {{ name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] }}
]
output [
  {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] label_filename: "labels.txt" }},
  {{ name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] }}
]
{more}
"""


def write_standard_models(repository: Path) -> Path:
    """add_sub (batching, labels on OUTPUT0), identity_<type> for every type, a model without batching, a slow one."""
    labels = "\n".join(f"class {index}" for index in range(15)) + "\n"
    folder = write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config())
    (folder / "labels.txt").write_text(labels)
    for kind, v2_name in V2_NAMES.items():
        write_model(repository, f"identity_{v2_name.lower()}", onnx_models.identity(kind, ("N", "M")))
    write_model(repository, "no_batch", onnx_models.add_sub(shape=(16,)))
    write_model(repository, "slow", onnx_models.slow_identity())
    write_model(
        repository,
        "reshaped",
        onnx_models.identity(shape=(1, 4, 1)),
        """
name: "reshaped"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 1, 4, 1 ] } } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 1, 4, 1 ] } } ]
""",
    )
    return repository


def states(engine: Engine) -> dict[str, str]:
    """`name/version` -> state, of what has one."""
    return {f"{row.name}/{row.version}": row.state for row in engine.repository_index().models if row.state}
