"""The memory that `tcli infer` needs for a clip of 10 seconds, and for one of 60 minutes.

    pip install "tcli[video]"
    python benchmarks/video_memory.py [--minutes 60] [--fps 25] [--side 64] [--format mp4] [--json FILE]

Both clips are made here, of the same moving picture. A server in a process of its own answers with the mean colour of each
frame, more slowly than the frames are decoded, so that only back-pressure keeps them from piling up. What is printed is the
largest resident size of each `tcli infer`, as the kernel counted it. An MP4 has an index of all its frames, which FFmpeg reads when it
opens the file (some 60 bytes for each); `--format mkv` has none.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from onnx import TensorProto, helper

from running import Ports, tcli_serve, write_json

SHORT_SECONDS = 10


def write_repository(root: Path, side: int) -> Path:
    """`mean`: scores [N, 3] = the mean of each channel of pictures [N, 3, side, side]."""
    source = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ("N", 3, side, side))
    target = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("N", 3))
    node = helper.make_node("ReduceMean", ["picture"], ["scores"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "mean", [source], [target])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (root / "mean" / "1").mkdir(parents=True)
    (root / "mean" / "1" / "model.onnx").write_bytes(model.SerializeToString())
    (root / "mean" / "config.pbtxt").write_text(
        'platform: "onnxruntime_onnx" max_batch_size: 8\n'
        f'input [ {{ name: "picture" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, {side}, {side} ] }} ]\n'
        'output [ { name: "scores" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
    )
    return root


def write_clip(path: Path, seconds: float, fps: int, side: int) -> None:
    """A bar that moves over a ground whose colour changes every five seconds."""
    grounds = ((200, 30, 30), (30, 200, 30), (30, 30, 200))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(round(seconds * fps)):
            pixels = np.full((side, side, 3), grounds[index // (5 * fps) % 3], np.uint8)
            pixels[:, index % side] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def classify(clip: Path, ports: Ports) -> tuple[float, float, str]:
    """Largest resident size in MiB, seconds, and the line of the summary."""
    command = [sys.executable, "-m", "triton_cli", "infer", "-u", f"127.0.0.1:{ports.grpc}", str(clip)]
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(command, stdout=answer)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - begun
        answer.seek(0)
        lines = answer.read().decode().splitlines()
    if process.returncode:
        raise RuntimeError(f"tcli infer ended with status {process.returncode}")
    return usage.ru_maxrss / 1024, took, next(line.strip() for line in lines if "frames/s" in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--format", default="mp4", help="the ending of the clips' names")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sizes: list[float] = []
        figures = {}
        with tcli_serve(write_repository(root / "models", args.side)) as ports:
            for name, seconds in (("short", SHORT_SECONDS), ("long", 60 * args.minutes)):
                clip = root / f"{name}.{args.format}"
                write_clip(clip, seconds, args.fps, args.side)
                size, took, line = classify(clip, ports)
                sizes.append(size)
                figures[name] = {"seconds_of_video": seconds, "most_mib": size, "took_seconds": took}
                print(f"{seconds:7.0f} s of video: {size:6.1f} MiB at most, {took:6.1f} s in all; {line}", flush=True)
        print(f"long / short: {sizes[1] / sizes[0]:.3f}")
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
