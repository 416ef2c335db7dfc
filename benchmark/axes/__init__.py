"""What `ablate` and `sweep` vary, and what came out."""
