"""The table of data sets: what each is, where its publisher keeps it, and what reads its files.

Nothing heavy is imported here: an entry is a string that is imported when it is first used.
"""

from __future__ import annotations

from benchmark.data.readers.review_publishers import REVIEWS
from benchmark.entries import DatasetEntry
from benchmark.registry import Registry

INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"

DATASETS: Registry[DatasetEntry] = Registry("data set")

DATASETS.add(
    "ml-100k",
    DatasetEntry(
        "benchmark.data.readers.movielens:load_ml_100k",
        "MovieLens-100K, as the recbole package carries it",
        requires=("recbole",),
        install=INSTALL_RECBOLE,
        embedded=True,
    ),
)
DATASETS.add(
    "synthetic",
    DatasetEntry(
        "benchmark.data.made_up.synthetic:load_synthetic",
        "a made-up world with a planted preference",
        embedded=True,
    ),
)

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_HARPER = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context."
    " ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19."
    " https://doi.org/10.1145/2827872"
)
_MOVIELENS = {
    "ml-latest-small": ("MovieLens latest-small: 100,000 ratings, changed from time to time", ""),
    "ml-1m": ("MovieLens-1M: whole stars", "c4d9eecfca2ab87c1945afe126590906"),
    "ml-10m": ("MovieLens-10M: half stars", "ce571fd55effeba0271552578f2648bd"),
    "ml-20m": ("MovieLens-20M: half stars", "cd245b17a1ae2cc31bb14903e1204af3"),
    "ml-25m": ("MovieLens-25M: half stars", "6b51fb2759a8657d3bfcbfc42b592ada"),
    "ml-32m": ("MovieLens-32M: half stars", "d472be332d4daa821edc399621853b57"),
}
"""What each is, and the MD5 that GroupLens gives; what changes has none."""
for _name, (_summary, _md5) in _MOVIELENS.items():
    _readme = f"{_GROUPLENS}/{_name}-README.{'txt' if _name == 'ml-1m' else 'html'}"
    DATASETS.add(
        _name,
        DatasetEntry(
            "benchmark.data.readers.movielens_files:read_movielens",
            _summary,
            urls=(f"{_GROUPLENS}/{_name}.zip",),
            checksums=(f"md5:{_md5}" if _md5 else "",),
            licence="GroupLens terms: research use, no commercial use or redistribution without"
            f" permission ({_readme})",
            citation=_HARPER,
        ),
    )

for _name, (_summary, _licence, _urls, _citation) in REVIEWS.items():
    _module = "google_local" if _name == "google-local" else "amazon"
    DATASETS.add(
        f"{_name}/*",
        DatasetEntry(
            f"benchmark.data.readers.{_module}:read_{_module}",
            _summary,
            part="state" if _name == "google-local" else "category",
            urls=_urls,
            licence=_licence,
            citation=_citation,
        ),
    )
DATASETS.add(
    "own/*",
    DatasetEntry(
        "benchmark.data.readers.own:read_own",
        "your own file of interactions (CSV, Parquet, JSON lines), with a columns.yaml",
        part="name",
        licence="yours",
        citation="yours",
    ),
)
