"""What an answer is worth, example by example, and how sure the mean is."""
