"""Asks the deployment of app.py for the class of a picture, a hundred times, and prints what it found.

python examples/ray_serve/ask.py examples/images/coffee.jpg
"""

import argparse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from PIL import Image


def payload(path: str) -> dict:
    """The request for `efficientnet_lite0`."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224)), np.float32)
    tensor = ((pixels - 127) / 128).transpose(2, 0, 1)[None]
    return {"inputs": [{"name": "image", "shape": tensor.shape, "datatype": "FP32", "data": tensor.ravel().tolist()}]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    body = payload(options.image)

    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(4) as threads:

        def ask(_: int) -> int:
            answer = client.post(f"{options.url}/v2/models/efficientnet_lite0/infer", json=body)
            answer.raise_for_status()
            return int(np.argmax(answer.json()["outputs"][0]["data"]))

        print(Counter(threads.map(ask, range(100))))
