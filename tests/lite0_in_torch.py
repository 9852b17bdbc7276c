"""EfficientNet-Lite0 in torch, written apart from the ONNX builder: unfolded batch norm, padding as a layer of its own.

Run it where torch is installed to print the values that `test_efficientnet_lite0.py` keeps for machines without torch:

    python tests/lite0_in_torch.py PATH_TO/efficientnet-lite0-57934424.pth
"""

import sys

import numpy as np

# stride, expands, channels in and out of each block
BLOCKS = [
    (1, False, 32, 16),
    *[(2, True, 16, 24), (1, True, 24, 24)],
    *[(2, True, 24, 40), (1, True, 40, 40)],
    *[(2, True, 40, 80), (1, True, 80, 80), (1, True, 80, 80)],
    *[(1, True, 80, 112), (1, True, 112, 112), (1, True, 112, 112)],
    *[(2, True, 112, 192), (1, True, 192, 192), (1, True, 192, 192), (1, True, 192, 192)],
    (1, True, 192, 320),
]


def made_up_pictures() -> np.ndarray:
    """Two made-up pictures, FP32 [2, 3, 224, 224] within -1..1, the same on every machine."""
    steps = np.arange(2 * 3 * 224 * 224, dtype=np.float64)
    return np.sin(steps * 0.00731 + np.sin(steps * 0.0001) * 5).astype(np.float32).reshape(2, 3, 224, 224)


def probabilities(checkpoint: str, images: np.ndarray) -> np.ndarray:
    """[N, 1000] softmax for [N, 3, 224, 224] images."""
    import torch
    from torch.nn import functional

    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)

    def norm(x, name: str):
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return functional.batch_norm(x, mean, variance, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-3)

    def conv(x, name: str, stride: int = 1, groups: int = 1):
        kernel = weights[f"{name}.weight"]
        size = x.shape[-1]
        missing = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)
        begin, end = missing // 2, missing - missing // 2
        return functional.conv2d(functional.pad(x, (begin, end, begin, end)), kernel, stride=stride, groups=groups)

    x = functional.relu6(norm(conv(torch.from_numpy(images), "_conv_stem", 2), "_bn0"))
    for index, (stride, expands, channels_in, channels_out) in enumerate(BLOCKS):
        block, shortcut = f"_blocks.{index}.", x
        if expands:
            x = functional.relu6(norm(conv(x, f"{block}_expand_conv"), f"{block}_bn0"))
        x = functional.relu6(norm(conv(x, f"{block}_depthwise_conv", stride, x.shape[1]), f"{block}_bn1"))
        x = norm(conv(x, f"{block}_project_conv"), f"{block}_bn2")
        if stride == 1 and channels_in == channels_out:
            x = x + shortcut
    x = functional.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return functional.linear(x, weights["_fc.weight"], weights["_fc.bias"]).softmax(1).numpy()


if __name__ == "__main__":
    for row in probabilities(sys.argv[1], made_up_pictures()):
        top = row.argsort()[::-1][:5]
        print({int(index): round(float(row[index]), 6) for index in top})
