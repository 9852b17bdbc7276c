"""What someone meant who wrote a name that is none: of a field, or of a value of an enum."""

import difflib
import re
from collections.abc import Iterable

from google.protobuf.descriptor import Descriptor, EnumDescriptor

_LONGEST_NAME = 60
_FIELDS = {
    "backend_name": "backend",
    "batch_size": "max_batch_size",
    "data": "",
    "datatype": "data_type",
    "dtype": "data_type",
    "shape": "dims",
    "type": "data_type",
}
"""Other tools' words for fields, each only where the message has that field; empty: none is meant."""

_TYPES = {
    "BFLOAT": "BF16",
    "BFLOAT16": "BF16",
    "BOOLEAN": "BOOL",
    "BYTES": "STRING",
    "DOUBLE": "FP64",
    "FLOAT": "FP32",
    "FLOAT16": "FP16",
    "FLOAT32": "FP32",
    "FLOAT64": "FP64",
    "HALF": "FP16",
    "LONG": "INT64",
    "LONGLONG": "INT64",
    "OBJECT": "STRING",
    "SHORT": "INT16",
    "SINGLE": "FP32",
    "STR": "STRING",
    "TEXT": "STRING",
    **{f"I{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"S{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}
_OTHER_VALUES = {
    "CHANNELS_FIRST": "NCHW",
    "CHANNELS_LAST": "NHWC",
    "CHW": "NCHW",
    "CUDA": "GPU",
    "HWC": "NHWC",
}
_AMBIGUOUS = {
    "BYTE": ("UINT8", "INT8"),
    "CHAR": ("INT8", "STRING"),
    "FP": ("FP32", "FP16"),
    "INT": ("INT32", "INT64"),
    "INTEGER": ("INT32", "INT64"),
    "UINT": ("UINT32", "UINT64"),
}
"""Words of other languages that mean one thing here and another there."""


def meant_field(name: str, message: Descriptor) -> str | None:
    """The field that someone meant who wrote `name`, if there is little doubt."""
    if len(name) > _LONGEST_NAME:
        return None
    names = list(message.fields_by_name)
    lowered = name.lower().replace("-", "_")
    for changed in (lowered, lowered + "s", lowered.removesuffix("s"), lowered.removesuffix("es")):
        meant = _FIELDS.get(changed, changed)
        if meant in names:
            return meant
    joined = {field.replace("_", ""): field for field in names}
    bare = lowered.replace("_", "")
    if bare in joined:
        return joined[bare]
    words = lowered.split("_")
    alike = [field for field in names if _alike(words, field.split("_"))]
    close = difflib.get_close_matches(lowered, alike, 1, 0.7) or [
        joined[field] for field in difflib.get_close_matches(bare, joined, 1, 0.93)
    ]
    return close[0] if close else None


def homes_of_field(name: str, root: Descriptor) -> list[str]:
    """The paths (`input`, `version_policy.latest`) of all messages in `root` that have a field of this name.

    The outermost come first; `root` itself is the empty path.
    """
    homes: list[str] = []
    _collect_homes(name, root, "", homes)
    return sorted(homes, key=lambda path: path.count(".") + bool(path))


def meant_values(text: str, enum: EnumDescriptor) -> list[str]:
    """The values that someone may have meant who wrote `text`: one where there is little doubt, else some or none."""
    if len(text) > _LONGEST_NAME:
        return []
    names = {name for name in enum.values_by_name if not name.endswith("_INVALID")}
    prefix = _common_prefix(enum.values_by_name)
    by_bare = {name.removeprefix(prefix): name for name in names}
    text = re.sub(r"^tensor\((\w+)\)$", r"\1", text)  # ONNX's own way to write a type
    upper = re.split(r"[.:]", text)[-1].upper().replace("-", "_")
    upper = upper.removeprefix("ONNX_TENSOR_ELEMENT_DATA_TYPE_").removeprefix("DT_")
    bare = upper.removeprefix(prefix).strip("_")
    for word in (bare, bare.replace("_", "")):
        for meant in (word, _TYPES.get(word, ""), _OTHER_VALUES.get(word, "")):
            if meant in by_bare:
                return [by_bare[meant]]
        if word in _AMBIGUOUS and all(meant in by_bare for meant in _AMBIGUOUS[word]):
            return [by_bare[meant] for meant in _AMBIGUOUS[word]]
    known = {
        **{meant: meant for meant in by_bare},
        **{slip: meant for slip, meant in _TYPES.items() if meant in by_bare},
    }
    same_digits = [word for word in known if _digits(word) == _digits(bare)]
    close = difflib.get_close_matches(bare, same_digits, 1, 0.75)
    return [by_bare[known[close[0]]]] if close else []


def _alike(words: list[str], other: list[str]) -> bool:
    """Whether two names differ by slips of the pen, not by a word: `min_batch_size` is not `max_batch_size`."""
    if len(words) == len(other):
        return all(difflib.SequenceMatcher(None, a, b).ratio() >= 0.6 for a, b in zip(words, other, strict=True))
    shorter, longer = sorted((words, other), key=len)
    rest = iter(longer)
    return len(shorter) > 1 and all(word in rest for word in shorter)


def _common_prefix(names: Iterable[str]) -> str:
    """`TYPE_`, `KIND_`, `FORMAT_`, or nothing: what the names of an enum begin with."""
    first, *others = names
    prefix = first[: first.find("_") + 1]
    return prefix if all(name.startswith(prefix) for name in others) else ""


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _collect_homes(name: str, message: Descriptor, path: str, homes: list[str]) -> None:
    if name in message.fields_by_name:
        homes.append(path)
    for field in message.fields:
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            _collect_homes(name, field.message_type, f"{path}.{field.name}" if path else field.name, homes)
