"""Probes: what a fitted model loses when one thing about its user, or its training, is taken away.

`inputs` changes what the model is asked, `reopening` brings a finished run back, `probe` asks,
`report` holds the answers and `figure` draws them.
"""
