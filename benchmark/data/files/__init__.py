"""Archives, text and JSON lines, read without trusting them."""
