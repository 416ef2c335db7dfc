"""Made-up worlds, and their files in the layouts of real publishers."""
