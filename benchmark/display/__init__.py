"""What people read on a terminal: progress, numbers, foreign text that acts on nothing."""
