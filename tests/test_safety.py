"""No module runs code that it reads; what looks for that finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unsafe_calls import unsafe_calls

ROOT = Path(__file__).parent.parent
MODULES = [
    path
    for folder in ("benchmark", "userllm", "baselines")
    for path in (ROOT / folder).rglob("*.py")
]
ALLOWED = {
    # RecBole's own settings, of its package: the loader is put back as it was, see `_Config`.
    "baselines/recbole_bridge.py": {"names yaml.FullLoader"},
}


def test_no_module_runs_what_it_reads() -> None:
    assert len(MODULES) > 300
    found = {}
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        told = unsafe_calls(path.read_text(encoding="utf-8"))
        left = [own for own in told if own[1] not in ALLOWED.get(name, ())]
        if left:
            found[name] = left
    assert found == {}


def test_nothing_is_allowed_that_is_not_done() -> None:
    for name, allowed in ALLOWED.items():
        told = unsafe_calls((ROOT / name).read_text(encoding="utf-8"))
        assert {what for _, what in told} == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import _pickle",
        "import cloudpickle.cloudpickle",
        "from joblib import load",
        "import dill, json",
        "import shelve",
        "import marshal",
        "def f():\n    import pickle",
        "eval(x)",
        "exec(x, {})",
        "compile(x, '', 'exec')",
        "__import__(x)",
        "import builtins\nbuiltins.eval(x)",
        "import torch\ntorch.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "import torch\ntorch.load(p, weights_only=safe)",
        "import torch\ntorch.load(p, **options)",
        "from torch import load\nload(p)",
        "import torch as t\nt.load(p, map_location='cpu')",
        "import torch\ntorch.hub.load('a', 'b')",
        "import numpy as np\nnp.load(p)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import numpy as np\nnp.load(p, mmap_mode='r', allow_pickle=own)",
        "from numpy import load as read\nread(p)",
        "import yaml\nyaml.load(t, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.load(t)",
        "import yaml\nyaml.unsafe_load(t)",
        "import yaml\nyaml.full_load(t)",
        "from yaml import FullLoader",
        "import yaml\nclass Own(yaml.UnsafeLoader): pass",
        "import yaml\nclass Own(yaml.Loader): pass",
        "import pandas as pd\npd.read_pickle(p)",
        "frame.to_pickle(p)",
        "import tempfile\ntempfile.mktemp()",
        "archive.extractall(folder)",
        "import shutil\nshutil.unpack_archive(p)",
        "import subprocess\nsubprocess.run('a', shell=True)",
        "import subprocess\nsubprocess.Popen(a, shell=own)",
        "import subprocess\nsubprocess.getoutput('a')",
        "import os\nos.system('a')",
        "from os import popen\npopen('a')",
        "Model.load_from_checkpoint(p)",
        "from transformers import AutoConfig\nAutoConfig.from_pretrained(n)",
        "import transformers as t\nt.AutoConfig.from_pretrained(n, trust_remote_code=True)",
        "from transformers import AutoConfig\nAutoConfig.from_pretrained(n, **options)",
        "import transformers\ntransformers.AutoTokenizer.from_pretrained(n, trust_remote_code=own)",
        "from transformers import AutoModel\nAutoModel.from_pretrained(n, trust_remote_code=False)",
        "from transformers import AutoModelForCausalLM as A\nA.from_config(c)",
        "from transformers import pipeline\npipeline('x')",
    ],
)
def test_what_runs_code_is_found(source: str) -> None:
    assert unsafe_calls(source)


@pytest.mark.parametrize(
    "source",
    [
        "import json, torch\ntorch.load(p, weights_only=True)",
        "import numpy as np\nnp.load(p, mmap_mode='r', allow_pickle=False)",
        "import yaml\nclass Own(yaml.SafeLoader): pass",
        "import yaml\nyaml.safe_load(t)",
        "import ast\nast.literal_eval(t)",
        "model.eval()",
        "import re\nre.compile('a')",
        "import polars as pl\npl.col('a').list.eval(pl.element())",
        "import subprocess\nsubprocess.run(['a'], timeout=3)",
        "from safetensors.torch import load_file\nload_file(p)",
        "import transformers as t\nt.AutoConfig.from_pretrained(n, trust_remote_code=False)",
        "from transformers import AutoModel\n"
        "AutoModel.from_pretrained(n, trust_remote_code=False, use_safetensors=True)",
        "user_llm.from_pretrained(folder)",
        "'pickle and eval(x) in a text'",
    ],
)
def test_what_runs_no_code_is_not(source: str) -> None:
    assert unsafe_calls(source) == []
