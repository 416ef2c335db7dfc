"""What finished runs show about each other: tests, slices, and what rankings are like."""
