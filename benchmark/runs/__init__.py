"""Cells: planned, fitted, judged, resumed."""
