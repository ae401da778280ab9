"""Notes on zeros that are not final (LoRA adapters) or not visible (packed int4 kernels)."""

from kerasreg._common.texts import listed
from kerasreg._graph.variables import all_layers


def notes_on(model) -> list[str]:
    """Returns notes for counting or pruning the weights of a model."""
    layers = all_layers(model)
    adapted = [layer.path for layer in layers if getattr(layer, "lora_enabled", False)]
    packed = [
        layer.path for layer in layers if "int4" in str(getattr(layer, "quantization_mode", None))
    ]
    notes = []
    if adapted:
        notes.append(
            f"an adapter (LoRA) is on {listed(adapted)}: merging it, which saving also does, "
            "replaces the zeros of its kernel by other values; merge first, then prune"
        )
    if packed:
        notes.append(
            f"the int4 kernels of {listed(packed)} are packed (two weights per byte): their zeros "
            "are not counted, and they cannot be pruned; count and prune before `quantize`"
        )
    return notes
