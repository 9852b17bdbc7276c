"""Whether the batches of a model, as a server would form them, give what single requests get.

    verdict = prove_batching(Path("model_repository/resnet50"))

A wrong batch is a wrong answer to somebody else, without any error: what writes, recommends or checks a configuration that
batches asks here first.
"""

from tcli_server.proof.apart import LIMIT_SECONDS, prove_apart
from tcli_server.proof.prove import SIZES, prove_batching
from tcli_server.proof.repository import Proof, prove_repositories
from tcli_server.trial import Verdict

__all__ = [
    "LIMIT_SECONDS",
    "SIZES",
    "Proof",
    "Verdict",
    "prove_apart",
    "prove_batching",
    "prove_repositories",
]
