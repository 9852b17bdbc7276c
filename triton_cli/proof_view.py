"""What `tcli repo check --deep` shows: a line a model version; and the same as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from triton_cli.console import out, printable
from triton_cli.tables import one_line

if TYPE_CHECKING:
    from tcli_server.proof import Proof


def show_proofs(proofs: "Sequence[Proof]") -> None:
    """Whether batches give what single items give, model by model; nothing where none was asked about."""
    if not proofs:
        return
    console = out()
    console.print("batches, compared with their items alone:", style="bold")
    width = max(len(_name(proof)) for proof in proofs)
    for proof in proofs:
        verdict = proof.verdict
        sentence = "see below" if proof.problem is not None else one_line(verdict.sentence)
        console.print(f"  {_name(proof):<{width}}  {verdict.outcome:<9}  {sentence}", markup=False)
    console.print()


def proof_document(proof: "Proof") -> dict[str, Any]:
    """What was found out about a model version, for `json.dumps`.

    `output` and `item` (from 0) say where a wrong batch differs; `item` is null where the batch fails, or nothing is wrong.
    """
    verdict = proof.verdict
    return {
        "model": proof.model,
        "version": proof.version,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "sizes": list(verdict.sizes),
        "largest_difference": verdict.difference if verdict.sizes else None,
        "output": verdict.output or None,
        "item": verdict.item if verdict.item >= 0 else None,
        "shapes": {name: list(shape) for name, shape in verdict.shapes},
        "died": verdict.died,
    }


def escaped(text: str) -> str:
    """A name as text in a line that has markup."""
    from rich.markup import escape

    return escape(printable(text))


def _name(proof: "Proof") -> str:
    return one_line(proof.model if proof.version is None else f"{proof.model} {proof.version}")
