"""USER-LLM as a library: user encoder, projector, fusion and decoding. Knows no data set."""
