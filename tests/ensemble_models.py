"""Ensembles for the tests, written from steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

Step = tuple[str, Mapping[str, str], Mapping[str, str]]
"""Model, and its inputs and outputs -> ensemble tensors; the model's name may end with `:<version>`."""


def tensor(name: str, dims: str = "16", kind: str = "FP32", more: str = "") -> str:
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] {more} }}'


def ensemble(
    inputs: Sequence[str], outputs: Sequence[str], steps: Sequence[Step], max_batch_size: int = 8, more: str = ""
) -> str:
    """A configuration; inputs and outputs are names, of 16 floats, or what `tensor` makes."""

    def listed(kind: str, tensors: Sequence[str]) -> str:
        return "\n".join(f"{kind} {each if each.startswith('{') else tensor(each)}" for each in tensors)

    def mapped(field: str, names: Mapping[str, str]) -> str:
        return " ".join(f'{field} {{ key: "{name}" value: "{value}" }}' for name, value in names.items())

    lines = []
    for model, takes, gives in steps:
        name, _, version = model.partition(":")
        lines.append(
            f'step {{ model_name: "{name}" model_version: {version or -1} '
            f"{mapped('input_map', takes)} {mapped('output_map', gives)} }}"
        )
    scheduling = "\n".join(lines)
    return f"""
platform: "ensemble"
max_batch_size: {max_batch_size}
{listed("input", inputs)}
{listed("output", outputs)}
{more}
ensemble_scheduling {{
{scheduling}
}}
"""


def write_ensemble(repository: Path, name: str, config: str) -> Path:
    """Write the folder of an ensemble."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config)
    return folder
