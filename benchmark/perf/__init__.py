"""Side-by-side measurements against other implementations: benchmarks, not tests."""
