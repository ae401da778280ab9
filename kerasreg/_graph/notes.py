"""What the zeros of a model do not show: adapters that fill them, kernels that are packed."""

from kerasreg._common.texts import listed
from kerasreg._graph.variables import all_layers


def notes_on(model) -> list[str]:
    """What to know before the zeros of a model are counted, or made."""
    layers = all_layers(model)
    adapted = [layer.path for layer in layers if getattr(layer, "lora_enabled", False)]
    packed = [
        layer.path for layer in layers if "int4" in str(getattr(layer, "quantization_mode", None))
    ]
    notes = []
    if adapted:
        notes.append(
            f"an adapter (LoRA) is on {listed(adapted)}: merging it, which saving does, too, fills "
            "the zeros of its kernel; merge first, then prune"
        )
    if packed:
        notes.append(
            f"the int4 kernels of {listed(packed)} are packed, two weights in a byte: their zeros "
            "are not counted and they cannot be pruned; count and prune before `quantize`"
        )
    return notes
