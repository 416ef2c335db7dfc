"""What the benchmark asks of a method, one file a task."""
