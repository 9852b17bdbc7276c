"""What is said of models that ONNX Runtime does not run: the fix differs with the reason."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from repositories import write_model
from tcli_server.models.check import check_repository


def model(
    operator: str, opset: int = 17, ir_version: int = 8, kind: int = TensorProto.FLOAT, domain: str = ""
) -> bytes:
    tensors = [helper.make_tensor_value_info(name, kind, [2]) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node(operator, ["X"], ["Y"], domain=domain)], "g", tensors[:1], tensors[1:])
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return bytes(helper.make_model(graph, ir_version=ir_version, opset_imports=opsets).SerializeToString())


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (model("Relu", ir_version=9999), "update ONNX Runtime, or export it for an older opset"),
        (model("Relu", opset=9999), "update ONNX Runtime, or export it for an older opset"),
        (model("Relu", kind=TensorProto.INT16), "newer opset"),
        (model("Fancy", domain="my.own"), "without that operator"),
    ],
    ids=["IR version", "opset", "data type", "operator"],
)
def test_the_fix_is_for_what_onnx_runtime_says(tmp_path: Path, content: bytes, fix: str) -> None:
    write_model(tmp_path, "model", content)
    (problem,) = check_repository(tmp_path)
    assert fix in problem.fix, problem
