"""Whether an ONNX graph does equally much for any inputs of the same shapes."""

from collections.abc import Iterable

import onnx

from tcli_server.backends.onnxruntime.graph import model_signature

_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitShift Cast CastLike Ceil
    Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN
    LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign
    Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor
"""
_LINEAR = "Conv ConvInteger ConvTranspose Gemm MatMul MatMulInteger QLinearConv QLinearMatMul"
_RECURRENT = "GRU LSTM RNN"
_QUANTIZING = "DequantizeLinear DynamicQuantizeLinear QuantizeLinear"
_NORMALIZING = """
    BatchNormalization Dropout GroupNormalization Hardmax InstanceNormalization LRN LayerNormalization LogSoftmax
    LpNormalization MeanVarianceNormalization RMSNormalization Softmax
"""
_REDUCING = """
    ArgMax ArgMin AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_MOVING = """
    Concat Constant DepthToSpace Flatten Gather GatherElements Reshape Shape Size Slice SpaceToDepth Split Squeeze
    Transpose Unsqueeze
"""
_LEARNING = """
    ArrayFeatureExtractor Binarizer Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor Scaler
    TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
_STEADY = {
    "": frozenset(" ".join((_ELEMENTWISE, _LINEAR, _RECURRENT, _QUANTIZING, _NORMALIZING, _REDUCING, _MOVING)).split()),
    "ai.onnx.ml": frozenset(_LEARNING.split()),
}
"""Operators whose outputs are no larger than the shapes of their inputs allow. Those that are missing here loop (`Loop`,
`Scan`), choose (`If`), or make as much as a value says (`Range`, `Expand`, `Tile`, `Resize`): a client could ask for more
than anybody has measured."""

_DECIDING = {
    "Dropout": (1, 2),
    "GRU": (4,),
    "LSTM": (4,),
    "RNN": (4,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    **{name: (1,) for name in _REDUCING.split() if name.startswith("Reduce")},
}
"""Inputs whose values say which shape the output gets, or how many steps are made. A part of a tensor may be quick where the
whole is not, and a vector that a client turns into a column makes a matrix of the next sum."""


def is_steady(model: onnx.ModelProto) -> bool:
    """Whether the shapes of the inputs alone decide how much a run computes, whatever values a client sends.

    How long that takes may still differ: numbers so small that they are denormal take some hundred times as long.
    """
    if model.functions:
        return False
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    known -= {tensor.name for tensor in model_signature(model).overridable}
    for node in graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if node.op_type not in _STEADY.get(domain, ()):
            return False
        deciding = _DECIDING.get(node.op_type, ())
        if not _all_known((node.input[index] for index in deciding if index < len(node.input)), known):
            return False
        if node.op_type in ("Shape", "Size") or _all_known(node.input, known):
            known.update(node.output)
    return True


def _all_known(names: Iterable[str], known: set[str]) -> bool:
    """Whether no client can change these tensors; an input that is left out has no name."""
    return all(name in known for name in names if name)
