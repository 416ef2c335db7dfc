"""What USER-LLM is compared with. Each method follows `benchmark.protocols`."""
