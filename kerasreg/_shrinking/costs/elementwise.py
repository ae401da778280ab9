"""Costs of operations with one FLOP per element, and of those without FLOPs."""

from keras import layers

from kerasreg._shrinking.costs.base import cost_of, cost_of_classes, cost_of_ops, count

_RANDOM = [cls for name, cls in vars(layers).items() if name.startswith("Random")]


@cost_of(*(layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU))
@cost_of(layers.Softmax, layers.BatchNormalization, layers.GroupNormalization)
@cost_of(layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization)
@cost_of(layers.Normalization, layers.Rescaling, layers.Masking)
@cost_of(layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply)
@cost_of(layers.Subtract)
@cost_of(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
@cost_of(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
@cost_of(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
@cost_of(layers.GlobalAveragePooling3D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
@cost_of(layers.GlobalMaxPooling3D)
@cost_of_classes("keras.src.applications.", "CustomScaleLayer", "LayerScale")
@cost_of_ops("Abs", "Absolute", "Add", "Amax", "Amin", "All", "Any", "AveragePool", "BatchNorm")
@cost_of_ops("Ceil", "Celu", "Clip", "Cos", "Cosh", "CountNonzero", "Cumprod", "Cumsum", "Divide")
@cost_of_ops("DivideNoNan", "Elu", "Equal", "Erf", "Erfc", "Exp", "Expm1", "Floor", "FloorDivide")
@cost_of_ops("Gelu", "Glu", "Greater", "GreaterEqual", "HardShrink", "HardSigmoid", "HardSilu")
@cost_of_ops("HardTanh", "LayerNorm", "LeakyRelu", "Less", "LessEqual", "Log", "Log1p", "Log2")
@cost_of_ops("LogSigmoid", "LogSoftmax", "LogicalAnd", "LogicalNot", "LogicalOr", "Logsumexp")
@cost_of_ops("Max", "MaxPool", "Maximum", "Mean", "Min", "Minimum", "Mod", "Moments", "Multiply")
@cost_of_ops("Negative", "Norm", "Normalize", "NotEqual", "Power", "Prod", "RMSNorm", "Reciprocal")
@cost_of_ops("Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin", "Sinh")
@cost_of_ops("Softmax", "SoftShrink", "Softplus", "Softsign", "SparsePlus", "SparseSigmoid", "Sqrt")
@cost_of_ops("Square", "Squareplus", "Std", "Subtract", "Sum", "Tan", "Tanh", "TanhShrink")
@cost_of_ops("Threshold", "TrueDivide", "Var", "Where")
def _per_element(call, shape):
    """One FLOP per element of the largest input or output."""
    return max(count(shape(each)) for each in (*call.inputs, *call.outputs))


@cost_of(layers.UpSampling2D)
def _upsampling(call, shape):
    is_copy = call.operation.interpolation == "nearest"
    return 0 if is_copy else count(shape(call.outputs[0]))


@cost_of(layers.ActivityRegularization, layers.AlphaDropout, layers.Dropout)
@cost_of(layers.GaussianDropout, layers.GaussianNoise, layers.SpatialDropout1D)
@cost_of(layers.SpatialDropout2D, layers.SpatialDropout3D, *_RANDOM)
@cost_of(layers.Concatenate, layers.Embedding, layers.Flatten, layers.Identity, layers.Permute)
@cost_of(layers.RepeatVector, layers.Reshape, layers.UpSampling1D, layers.UpSampling3D)
@cost_of(layers.CenterCrop, layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
@cost_of(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
@cost_of_classes("keras.src.applications.", "StochasticDepth")
@cost_of_ops("BroadcastTo", "Cast", "Concatenate", "ConvertToTensor", "Copy", "DepthToSpace")
@cost_of_ops("ExpandDims", "Flip", "Fliplr", "Flipud", "GetItem", "Hsplit", "Hstack", "Identity")
@cost_of_ops("Moveaxis", "OneHot", "OnesLike", "Pad", "PadImages", "CropImages", "Ravel", "Repeat")
@cost_of_ops("Reshape", "Roll", "Slice", "SpaceToDepth", "Split", "Squeeze", "Stack")
@cost_of_ops("StopGradient", "Swapaxes", "Take", "TakeAlongAxis", "Tile", "Transpose", "Tril")
@cost_of_ops("Triu", "Unstack", "Vsplit", "Vstack", "ZerosLike", "Rearrange")
def _nothing(call, shape):
    """No FLOPs: these operations move or select values, or do nothing in inference."""
    return 0
