"""Where a value is among a model's arguments or in its answer, as Triton writes it: `ARGS[0]`, `RESULT[key]`."""

from typing import Any

from torch.utils import _pytree as pytree


def input_paths(spec: pytree.TreeSpec) -> list[tuple[str, ...]]:
    """A path for each value, in order: `("ARGS", "0")`, `("KWARGS", "mask")`."""
    return [("KWARGS" if path[0] == "1" else "ARGS", *path[1:]) for path in _paths(spec)]


def output_paths(spec: pytree.TreeSpec) -> list[tuple[str, ...]]:
    """The same for what a model answers: `("RESULT", "0")`."""
    return [("RESULT", *path) for path in _paths(spec)]


def written(path: tuple[str, ...]) -> str:
    """`RESULT[0]`."""
    return path[0] + "".join(f"[{part}]" for part in path[1:])


def output_names(index: int, where: tuple[str, ...]) -> tuple[str, ...]:
    """What an output is called: by its key in a dictionary first, by its index, and by its path."""
    key = (where[-1],) if len(where) == 2 and not where[-1].isdigit() else ()
    return (*key, f"OUTPUT__{index}", written(where))


def _paths(spec: pytree.TreeSpec) -> list[tuple[str, ...]]:
    tree = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    found, _ = pytree.tree_flatten_with_path(tree)
    return [tuple(_part(key) for key in path) for path, _ in found]


def _part(key: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
