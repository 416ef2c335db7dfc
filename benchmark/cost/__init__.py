"""What training and an answer cost: arithmetic, tokens, seconds and bytes."""
