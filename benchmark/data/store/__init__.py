"""Prepared data sets on disk: fetched, filtered, written as a whole, opened in place."""
