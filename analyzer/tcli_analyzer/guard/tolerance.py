"""How much a variant's answers may differ from the original's, and which variants may at all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.trial.rounding import FROM_LESS

_FULL = ("", "f32", "fp32", "accuracy")
_ON = ("yes", "true", "1")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is still the same answer.

    Whatever it says: a variant whose batches mix their items never is the same, nor is one that puts NaN or infinity elsewhere.

    Attributes:
        relative: the largest difference of real numbers, as a share of the largest value of the item's output; None for what
            `tcli_server.trial.rounding` takes for rounding.
        agreement: least lower end of the 95 % interval of the items whose class (the largest score) is the original's; 0 for
            any, as where `relative` is rounding and only ties can change places.
        whole: least share of the elements of an output of whole numbers, booleans or strings that are equal.
        other_shapes: largest share of the items that are answered in another shape, as by a detector that finds one box more.
    """

    relative: float | None = None
    agreement: float = 0.0
    whole: float = 1.0
    other_shapes: float = 0.0

    def __post_init__(self) -> None:
        """Raises:
        ValueError: a share that is none; the message says which.
        """
        if self.relative is not None and not 0 <= self.relative < math.inf:
            raise ValueError(
                f"relative of a tolerance is {self.relative:g}, expected a number of 0 or more, such as 0.01"
            )
        shares = {"agreement": self.agreement, "whole": self.whole, "other_shapes": self.other_shapes}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} of a tolerance is {value:g}, expected a share from 0 to 1, such as 0.9")
        if self.agreement == 1:
            raise ValueError(
                "agreement of a tolerance is 1, which no number of inputs proves; expected less, such as 0.99"
            )


ROUNDING = Tolerance()
"""Of variants that compute in the original's precision: what the proof of batches takes for rounding (FP32: 0.1 %)."""

LOWER_PRECISION = Tolerance(relative=FROM_LESS, agreement=0.9, whole=0.9)
"""Of those that may compute in less: BF16, FP16, TF32, 8 bits.

5 % of the largest value, which is what batches of models that compute in less are allowed, too. BF16 keeps 8 bits, 0.4 % a
number; a deep network makes 0.6 % (DenseNet-121) to 3.3 % (EfficientNet-Lite0, after its Softmax) of that, and names the same
class for 64 of 64 inputs both times. What is computed wrongly differs by more, but 5 % bounds no decision: where two scores
are closer than that the class may be another one. So the classes have to be the same for at least 90 % of all inputs, by
the lower end of the interval: 35 inputs that all agree, or one exception in 64, are enough. Whole numbers (numbers of classes,
masks) have to be the same for 90 % of the elements.
"""


def may_lower_precision(config: ModelConfig) -> bool:
    """Whether a configuration says, or leaves it to an engine, that FP32 is computed in less."""
    parameters = {key.upper(): value.string_value.lower() for key, value in config.parameters.items()}
    if parameters.get("HINT_BF16", "") in _ON:
        return True
    hint = parameters.get("INFERENCE_PRECISION_HINT", "")
    if config.backend == "openvino" and not hint:  # its own choice is BF16 where the processor has it
        return str(parameters.get("EXECUTION_MODE_HINT", "")) != "accuracy"
    if hint not in _FULL or any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group):
        return True
    accelerators = config.optimization.execution_accelerators
    every = (*accelerators.cpu_execution_accelerator, *accelerators.gpu_execution_accelerator)
    return any(_accelerator_may(one.name, one.parameters) for one in every)


def _accelerator_may(name: str, parameters: Mapping[str, str]) -> bool:
    asked = next((value.lower() for key, value in parameters.items() if key in ("precision", "precision_mode")), "")
    return asked not in _FULL or (not asked and name in ("openvino", "tensorrt"))
