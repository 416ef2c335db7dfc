"""What turns histories into states."""
