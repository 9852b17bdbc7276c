"""What `tcli repo` shows: the tree of what was written, the table of models, the problems; and the same as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from triton_cli.console import out, printable
from triton_cli.tables import one_line, print_whole, show_table

if TYPE_CHECKING:
    from tcli_server.models.overview import ModelOverview, TensorOverview
    from tcli_server.repository.problem import Problem
    from tcli_server.zoo import Scaffold


def show_tree(path: Path, scaffolds: "list[Scaffold]") -> None:
    """What was written where, and what was left as it is."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(printable(str(path))))
    for scaffold in scaffolds:
        what = scaffold.origin if scaffold.written else "exists, left as it is"
        branch = tree.add(Text.assemble((scaffold.name, "bold"), "  ", (printable(what), "dim")))
        if scaffold.written:
            for file in sorted(scaffold.path.rglob("*")):
                if file.is_file():
                    branch.add(Text(printable(str(file.relative_to(scaffold.path)))))
    print_whole(tree)


def show_models(models: "list[ModelOverview]") -> None:
    """A table, or a block for each model where a terminal is too narrow for that."""
    headings = ("MODEL", "VERSIONS", "BACKEND", "MAX BATCH", "INPUTS", "OUTPUTS", "STATE")
    show_table(headings, [_row(model) for model in models])


def _row(model: "ModelOverview") -> tuple[str, ...]:
    problems = f"{model.problem_count} problem{'s' * (model.problem_count != 1)}" if model.problem_count else "ok"
    return (
        one_line(model.name),
        ", ".join(map(str, model.versions)) or "none",
        one_line(model.backend) or "unknown",
        str(model.max_batch_size),
        "\n".join(map(_tensor, model.inputs)),
        "\n".join(map(_tensor, model.outputs)),
        problems + (", placeholder weights" if model.placeholder else ""),
    )


def _tensor(tensor: "TensorOverview") -> str:
    return f"{one_line(tensor.name)} {tensor.datatype}({','.join(map(str, tensor.dims))})"


def show_problems(problems: "list[Problem]", checked: list[str], repositories: list[Path]) -> None:
    """Every problem with its place, and how many models were looked at."""
    console = out()
    for problem in problems:
        console.print(printable(problem.place), style="bold", end="  " if problem.field else "\n", markup=False)
        if problem.field:
            console.print(printable(problem.field), markup=False)
        if not problem.blocks:
            console.print("  note:     this keeps no server from loading it", markup=False)
        for word, text in (("found", problem.found), ("expected", problem.expected), ("fix", problem.fix)):
            console.print(f"  {word + ':':<9} {printable(text)}", markup=False)
        console.print()
    count = len(checked)
    models = (
        f"{count} model{'s' * (count != 1)}"
        if count
        else printable(f"no models in {', '.join(map(str, repositories))}")
    )
    blocking = sum(problem.blocks for problem in problems)
    notes = len(problems) - blocking
    found = f"{blocking} problem{'s' * (blocking != 1)}" if blocking else "no problems"
    found += f", {notes} note{'s' * (notes != 1)}" if notes else ""
    console.print(f"{models} checked: {found}" if count else f"{models}: {found}", markup=False)


def model_document(model: "ModelOverview") -> dict[str, Any]:
    """A model for `json.dumps`."""

    def tensors(listed: "tuple[TensorOverview, ...]") -> list[dict[str, Any]]:
        return [{"name": one.name, "datatype": one.datatype, "dims": list(one.dims)} for one in listed]

    return {
        "name": model.name,
        "path": str(model.path),
        "versions": list(model.versions),
        "backend": model.backend,
        "max_batch_size": model.max_batch_size,
        "inputs": tensors(model.inputs),
        "outputs": tensors(model.outputs),
        "placeholder": model.placeholder,
        "problems": model.problem_count,
    }


def problem_document(problem: "Problem") -> dict[str, Any]:
    """A problem for `json.dumps`; `line` is 1 for the first, None where it is of the whole file.

    `blocks` is false for what keeps no server from loading the model.
    """
    names = ("line", "field", "found", "expected", "fix", "blocks")
    return {"file": str(problem.file) if problem.file else None} | {name: getattr(problem, name) for name in names}
