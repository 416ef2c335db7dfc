"""Which of RecBole 1.2.1's sequential models run on ids alone; free of torch and of RecBole."""

from __future__ import annotations

_FEATURES = "needs item features in RecBole's own format; the bridge hands over ids alone"
_PAIRWISE = f"scores one user-item pair at a time (no full_sort_predict) and {_FEATURES}"
_GRAPH = "needs pretrained embeddings of a knowledge graph"

MODELS: dict[str, str] = {
    "BERT4Rec": "",
    "Caser": "",
    "CORE": "",
    "DIEN": _PAIRWISE,
    "DIN": _PAIRWISE,
    "FDSA": _FEATURES,
    "FEARec": "",
    "FOSSIL": "",
    "FPMC": "",
    "GCSAN": "",
    "GRU4Rec": "",
    "GRU4RecCPR": "",
    "GRU4RecF": _FEATURES,
    "GRU4RecKG": _GRAPH,
    "HGN": "",
    "HRM": "",
    "KSR": _GRAPH,
    "LightSANs": "",
    "NARM": "",
    "NextItNet": "",
    "NPE": "",
    "RepeatNet": "",
    "S3Rec": _FEATURES,
    "SASRec": "",
    "SASRecCPR": "",
    "SASRecF": _FEATURES,
    "SHAN": "",
    "SINE": "",
    "SRGNN": "",
    "STAMP": "",
    "TransRec": "",
}
"""RecBole's name of a model -> why it is unavailable, "" where it works."""
