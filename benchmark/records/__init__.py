"""What finished cells leave behind: read, summarised, checked, published."""
