"""The command line: the options of each command."""
