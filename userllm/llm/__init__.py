"""Any causal language model, through few operations."""
