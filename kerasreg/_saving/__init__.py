"""Files in which zeros cost almost nothing, and how large a model is in which form."""
