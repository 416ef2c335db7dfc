"""Answers of models that were not run here, judged as those that were."""
