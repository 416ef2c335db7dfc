"""Figures, made from what runs left behind alone. Free of torch."""
