"""Where the publishers of reviews keep their files, and on which terms.

Nothing is imported here: `list` reads it.
"""

from __future__ import annotations

_AMAZON = "for research, cited as below; the texts are their writers' and Amazon's"
_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_UCSD = "https://mcauleylab.ucsd.edu/public_datasets"
REVIEWS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "amazon-2014": (
        "Amazon reviews of 1996 to 2014, one category: 5-core, or all with a file of your own",
        _AMAZON,
        (f"{_SNAP}/reviews_{{part}}_5.json.gz", f"{_SNAP}/meta_{{part}}.json.gz"),
        "Ruining He and Julian McAuley. 2016. Ups and Downs: Modeling the Visual Evolution of"
        " Fashion Trends with One-Class Collaborative Filtering. WWW 2016."
        " https://doi.org/10.1145/2872427.2883037",
    ),
    "amazon-2018": (
        "Amazon reviews of 1996 to 2018, one category: 5-core, or all with a file of your own",
        _AMAZON,
        (
            f"{_UCSD}/data/amazon_v2/categoryFilesSmall/{{part}}_5.json.gz",
            f"{_UCSD}/data/amazon_v2/metaFiles2/meta_{{part}}.json.gz",
        ),
        "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using"
        " Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP-IJCNLP 2019."
        " https://doi.org/10.18653/v1/D19-1018",
    ),
    "amazon-2023": (
        "Amazon reviews of 1996 to 2023, one category",
        _AMAZON,
        (
            f"{_UCSD}/data/amazon_2023/raw/review_categories/{{part}}.jsonl.gz",
            f"{_UCSD}/data/amazon_2023/raw/meta_categories/meta_{{part}}.jsonl.gz",
        ),
        "Yupeng Hou, Jiacheng Li, Zhankui He, An Yan, Xiusi Chen and Julian McAuley. 2024."
        " Bridging Language and Items for Retrieval and Recommendation."
        " https://arxiv.org/abs/2403.03952",
    ),
    "google-local": (
        "Google Local reviews of 2021, one US state",
        "for research, cited as below; the texts are their writers' and Google's",
        (
            f"{_UCSD}/gdrive/googlelocal/review-{{part}}.json.gz",
            f"{_UCSD}/gdrive/googlelocal/meta-{{part}}.json.gz",
        ),
        "Jiacheng Li, Jingbo Shang and Julian McAuley. 2022. UCTopic: Unsupervised Contrastive"
        " Learning for Phrase Representations and Topic Mining. ACL 2022."
        " https://doi.org/10.18653/v1/2022.acl-long.426. An Yan, Zhankui He, Jiacheng Li,"
        " Tianyang Zhang and Julian McAuley. 2023. Personalized Showcases: Generating Multi-Modal"
        " Explanations for Recommendations. SIGIR 2023. https://doi.org/10.1145/3539618.3592036",
    ),
}
"""Of each family: one line, licence, URLs with `{part}` for category or state, citation."""
