"""Asks the three models of `make_repository.py` about made-up data by `tcli infer`, and ONNX Runtime about the same directly.

    python examples/batch/check.py [FOLDER]

The exit status is 1 where an answer differs by more than 1e-4 of the largest value.
"""

import csv
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import onnxruntime

sys.path[:0] = [str(Path(__file__).parent / "models"), str(Path(__file__).parent)]

RATE, WINDOW = 16_000, 144_160
TEXTS = ["the cat sat on the mat", "a dog, barking", "", "Ünïcode and\nlines"] * 30
SAME = 1e-4


def infer(folder: Path, *arguments: str) -> None:
    """`tcli infer`, in the folder with the data."""
    subprocess.run([sys.executable, "-m", "triton_cli", "infer", *arguments], cwd=folder, check=True)


def session(repository: Path, model: str) -> onnxruntime.InferenceSession:
    """The model alone."""
    return onnxruntime.InferenceSession(repository / model / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def texts(folder: Path, repository: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of a CSV's column, and those of the runtime."""
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["id", "review"], *enumerate(TEXTS)])
    infer(
        folder, "texts.csv", "-m", "embed", "--map", "TEXT=review", "--model-repository", str(repository), "-o", "t.npz"
    )
    from words import LENGTH, numbers

    ids = np.zeros((len(TEXTS), LENGTH), np.int64)
    for row, text in enumerate(TEXTS):
        ids[row, : len(numbers(text))] = numbers(text)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    (expected,) = session(repository, "minilm").run(None, inputs)
    return np.load(folder / "t.npz")["EMBEDDINGS"], expected


def sounds(folder: Path, repository: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores of WAV files, nine seconds at a time, and those of the runtime."""
    random = np.random.default_rng(0)
    windows = []
    for name, seconds in {"a": 20, "b": 3, "c": 9.01}.items():
        time = np.arange(int(seconds * RATE)) / RATE
        sound = 0.3 * np.sin(2 * np.pi * (200 + 50 * time) * time) + 0.05 * random.standard_normal(len(time))
        samples = (np.clip(sound, -1, 1) * 32767).astype("<i2")
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, len(samples), "NONE", ""))
            file.writeframes(samples.tobytes())
        padded = np.zeros(-(-len(samples) // WINDOW) * WINDOW, np.float32)
        padded[: len(samples)] = samples / np.float32(32768)
        windows.append(padded.reshape(-1, WINDOW))
    infer(folder, "*.wav", "-m", "speech_quality", "--model-repository", str(repository), "-o", "w.npz")
    (expected,) = session(repository, "speech_quality").run(None, {"input_1": np.concatenate(windows)})
    return np.load(folder / "w.npz")["Identity:0"], expected


def files(folder: Path, repository: Path) -> tuple[np.ndarray, np.ndarray]:
    """Types of this project's files, and those of the runtime."""
    root = Path(__file__).parents[2]
    found = sorted(str(path) for path in root.glob("docs/*.md"))
    infer(
        folder,
        "--bytes",
        str(root / "docs" / "*.md"),
        "-m",
        "file_type",
        "--model-repository",
        str(repository),
        "-o",
        "f.npz",
    )
    from features import features

    rows = np.stack([features(Path(file).read_bytes()) for file in found])
    (expected,) = session(repository, "file_model").run(None, {"bytes": rows})
    return np.load(folder / "f.npz")["TYPE"], expected


def main() -> int:
    """Compare all three."""
    repository = Path(sys.argv[1] if len(sys.argv) > 1 else "model_repository").resolve()
    wrong = False
    for ask in (texts, sounds, files):
        with tempfile.TemporaryDirectory() as folder:
            got, expected = ask(Path(folder), repository)
        difference = (
            float(np.abs(got - expected).max() / np.abs(expected).max()) if got.shape == expected.shape else np.inf
        )
        print(f"{ask.__name__}: {len(got)} rows, largest difference {difference:.1e}")
        wrong |= not difference <= SAME
    return int(wrong)


if __name__ == "__main__":
    sys.modules.setdefault("triton_python_backend_utils", type(sys)("triton_python_backend_utils"))
    sys.exit(main())
