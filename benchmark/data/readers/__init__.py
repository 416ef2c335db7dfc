"""Readers: one family of data sets a file, from its publisher's files to two frames."""
