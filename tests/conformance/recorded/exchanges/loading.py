"""Models that cannot be loaded, and why."""

from conformance.recorded.kinds import Control, Infer
from conformance.recorded.wire import Request, Tensor

SAYS = {
    "import": "No module named 'nobody_has_this_module'",
    "initialize": "cannot begin",
    "init": "cannot be made",
    "exit": "broken_exit",
    "auto_complete": "cannot complete",
    "auto_complete_type": "must return a valid",
    "auto_complete_conflict": "'X'",
    "auto_complete_key": "'Z'",
    "auto_complete_batch": "max_batch_size",
    "no_class": "TritonPythonModel",
    "no_outputs": "output",
}

EXCHANGES = [
    *(Control(name.replace("_", " "), f"broken_{name}", says=(text,)) for name, text in SAYS.items()),
    Control("no execute", "broken_no_execute"),
    Infer("no execute, asked", Request("broken_no_execute", (Tensor("X", "FP32", (1,), (1,)),)), says=("execute",)),
    Control("unknown", "nobody", says=("nobody",)),
    Control("again", "metering"),
    Control("unloaded", "metering", "unload"),
    Control("loaded again", "metering"),
    Infer("counts from the beginning", Request("metering", (Tensor("BY", "FP64", (1,), (1,)),))),
]
