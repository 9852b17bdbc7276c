"""Classifies the sample photo with NVIDIA's own client library, over HTTP and over gRPC.

pip install "tritonclient[all]"
python examples/clients/tritonclient_infer.py
"""

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import tritonclient.grpc
import tritonclient.http
from PIL import Image

MODEL = "efficientnet_lite0"
PHOTO = Path(__file__).parent.parent / "images" / "coffee.jpg"


def photo() -> np.ndarray:
    """The photo as the model wants it: FP32 [1, 3, 224, 224], values from -1 to 1."""
    with Image.open(PHOTO) as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), np.float32)
    return (pixels / 127.5 - 1).transpose(2, 0, 1)[np.newaxis]


def classify(library: ModuleType, url: str) -> list[str]:
    """The three best classes, as `value:index:label`; the library's two halves have the same names for everything."""
    client = library.InferenceServerClient(url)
    tensor = photo()
    image = library.InferInput("image", list(tensor.shape), "FP32")
    image.set_data_from_numpy(tensor)
    wanted = library.InferRequestedOutput("probabilities", class_count=3)
    result = client.infer(MODEL, [image], outputs=[wanted])
    return [item.decode() for item in result.as_numpy("probabilities").ravel()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http", default="localhost:8000")
    parser.add_argument("--grpc", default="localhost:8001")
    args = parser.parse_args()
    print("HTTP:", classify(tritonclient.http, args.http))
    print("gRPC:", classify(tritonclient.grpc, args.grpc))
