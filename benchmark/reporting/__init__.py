"""Reports on comparisons: facts from records, a template that words them, a page to read."""
