"""Whether all that is pickled in an exported program is tensors: `torch.export.load` would run whatever else is."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export.pt2_archive._package import PT2ArchiveReader


class PickleError(Exception):
    """A file has pickles that could be anything."""


def check_pickles(path: Path) -> None:
    """Look at all pickles of a file, read as PyTorch itself reads it.

    Raises:
        PickleError: one holds more than tensors.
    """
    with PT2ArchiveReader(str(path)) as reader:
        names = reader.get_file_names()
        for name in [name for name in names if name.endswith("_config.json") and name.startswith("data/")]:
            for key, payload in _payloads(json.loads(reader.read_string(name))):
                place = f"{name.rpartition('/')[0]}/{payload.get('path_name')}"
                if "opaque_obj" in place:
                    raise PickleError(f"an exported program with the pickled object '{key}', which could run any code")
                if payload.get("use_pickle") and "custom_obj" not in place:
                    _check_pickle(place, reader.read_bytes(place))
        for name in names:
            if name.endswith(".pt"):
                _check_pickle(name, reader.read_bytes(name))


def _payloads(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    config = document.get("config") if isinstance(document, dict) else None
    for key, payload in (config if isinstance(config, dict) else {}).items():
        if isinstance(payload, dict):
            yield key, payload


def _check_pickle(name: str, content: bytes) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        raise PickleError(
            f"an exported program whose '{name}' holds more than tensors, and could run any code"
        ) from None
