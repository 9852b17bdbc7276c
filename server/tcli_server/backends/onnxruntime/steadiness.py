"""Whether an ONNX graph takes equally long for any inputs of the same shapes."""

import onnx

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


def is_steady(model: onnx.ModelProto) -> bool:
    """Whether a run's length depends on the shapes of the inputs alone, whatever values a client sends."""
    if model.functions:
        return False
    return all(
        node.op_type in _STEADY.get("" if node.domain == "ai.onnx" else node.domain, ()) for node in model.graph.node
    )
