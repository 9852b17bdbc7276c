"""The network in PyTorch."""

import torch

from framework_models import CLASSES, WIDTHS


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    before = 3
    for index, width in enumerate(WIDTHS):
        stride = 2 if index % 2 == 0 else 1
        layers += [torch.nn.Conv2d(before, width, 3, stride, 1), torch.nn.BatchNorm2d(width), torch.nn.ReLU()]
        before = width
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(before, CLASSES)]
    return torch.nn.Sequential(*layers).eval()
