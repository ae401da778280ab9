"""The families of Keras' layers: convolutions, normalizations, poolings and others."""

from keras import layers

CONV = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
CONV_TRANSPOSE = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
#: Layers that multiply by a kernel and add a bias.
LINEAR = (
    *(layers.Dense, layers.EinsumDense),
    *(*CONV, *CONV_TRANSPOSE, *DEPTHWISE, *SEPARABLE),
)

ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)

#: Normalizations that have weights.
NORMALIZATION = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
)

AVERAGE_POOLING = (layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
MAX_POOLING = (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
GLOBAL_POOLING = (
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
)
POOLING = (*AVERAGE_POOLING, *MAX_POOLING, *GLOBAL_POOLING)
PADDING = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
CROPPING = (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
UP_SAMPLING = (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)
SPATIAL_DROPOUT = (layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D)

_GATES = {layers.SimpleRNNCell: 1, layers.GRUCell: 3, layers.LSTMCell: 4}


def gates_of_cell(layer):
    """Returns the number of gates of a recurrent cell, or 0 for any other layer."""
    for cell, gates in _GATES.items():
        if isinstance(layer, cell):
            return gates
    # The cell of ConvLSTM1D, 2D and 3D is not public.
    return 4 if type(layer).__name__ == "ConvLSTMCell" else 0
