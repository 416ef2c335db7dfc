"""The machine: processes, files that are whole or not there, signals, processors."""
