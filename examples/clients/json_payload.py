"""Turns a picture into the JSON body of an inference request, for curl or any other HTTP client.

    python examples/clients/json_payload.py examples/images/coffee.jpg > payload.json
    curl -X POST http://localhost:8000/v2/models/densenet_onnx/infer \\
         -H "Content-Type: application/json" -d @payload.json
"""

import argparse
import json
import sys

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's red, green and blue
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def payload(path: str, size: int = 224) -> dict:
    """The request for `densenet_onnx`: one FP32 picture of shape [3, 224, 224]."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((size, size)), np.float32) / 255
    tensor = ((pixels - MEAN) / DEVIATION).transpose(2, 0, 1)
    return {
        "inputs": [{"name": "data_0", "shape": tensor.shape, "datatype": "FP32", "data": tensor.ravel().tolist()}],
        "outputs": [{"name": "fc6_1"}],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    json.dump(payload(parser.parse_args().image), sys.stdout)
