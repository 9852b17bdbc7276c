"""What `triton_python_backend_utils` gives and raises: the cases of the model `probe`, each asked once."""

import re
from pathlib import Path

from conformance.recorded.kinds import Conversation
from conformance.recorded.wire import Request, Tensor

MODEL = Path(__file__).parents[2] / "python_models" / "probe" / "1" / "model.py"
NAMES = re.findall(r'^    "([^"]+)": ', MODEL.read_text(encoding="utf-8"), re.MULTILINE)
SAYS: dict[str, str] = {}


def asked(case: str) -> Conversation:
    request = Request("probe", (Tensor("WHAT", "BYTES", (1,), (case,)),))
    return Conversation(case, (request,), says=(SAYS[case],) if case in SAYS else ())


EXCHANGES = [asked(case) for case in NAMES]
