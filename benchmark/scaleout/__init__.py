"""Cells over processes and machines, by Dask, which is imported where it is asked for."""
