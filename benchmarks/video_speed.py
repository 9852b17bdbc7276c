"""Frames a second of a video by how many requests are under way, against decoding alone and against HTTP requests one by one.

    pip install "tcli[video]"
    python benchmarks/video_speed.py [--seconds 8] [--rounds 3] [--windows 1,2,4,8,16,32,64] [--json FILE]

The model is the trained default one, the clip 1280 x 720. `alone` decodes, resizes and scales the frames and asks nobody. Rounds
go through all of them in turn, and what is printed is the median.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np

from running import Ports, tcli_serve, write_json
from tcli_client import ImageClassifier, Inference, Transport, connect
from tcli_client.preprocess import as_input
from tcli_client.video import classify_frames, open_video
from tcli_server.zoo import scaffold_efficientnet_lite0

SIZE = (1280, 720)
MODEL = "efficientnet_lite0"


def write_clip(path: Path, seconds: float, fps: int = 25) -> None:
    """A bright square that moves over noise."""
    ground = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(round(seconds * fps)):
            pixels = ground.copy()
            pixels[200:400, 5 * index % 1000 : 5 * index % 1000 + 200] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def rate(run: Callable[[], int]) -> float:
    begun = time.perf_counter()
    return run() / (time.perf_counter() - begun)


def alone(classifier: ImageClassifier, clip: Path, ask: Transport | None = None) -> int:
    """Frames that were made ready; with a server, each is asked of it and waited for before the next is decoded."""
    form, scaling, count = classifier.model.form, classifier.model.scaling, 0
    for frame in open_video(str(clip)).frames():
        tensor = as_input(frame.read(form.mode, (form.width, form.height)), form, scaling)
        if ask is not None:
            ask.infer(Inference(MODEL, {classifier.model.input: tensor[np.newaxis]}))
        count += 1
    return count


def measure(ports: Ports, clip: Path, windows: list[int], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with connect(f"grpc://127.0.0.1:{ports.grpc}") as server, connect(f"http://127.0.0.1:{ports.http}") as http:
        classifier = ImageClassifier(server, MODEL)
        for _ in range(rounds):
            found.setdefault("alone", []).append(rate(lambda: alone(classifier, clip)))
            found.setdefault("HTTP, one by one", []).append(rate(lambda: alone(classifier, clip, http)))
            for window in windows:

                def stream(window: int = window) -> int:
                    frames = open_video(str(clip)).frames()
                    return sum(1 for _ in classify_frames(classifier, frames, window=window))

                found.setdefault(f"window {window}", []).append(rate(stream))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", default="1,2,4,8,16,32,64")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scaffold_efficientnet_lite0(root / "models")
        write_clip(root / "clip.mp4", args.seconds)
        with tcli_serve(root / "models") as ports:
            found = measure(ports, root / "clip.mp4", [int(window) for window in args.windows.split(",")], args.rounds)
    write_json(args.json, found)
    for name, rates in found.items():
        print(f"{name:>18}: {median(rates):7.1f} frames/s")


if __name__ == "__main__":
    main()
