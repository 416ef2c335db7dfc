"""Finds in Python source what runs code of others, or writes where others say."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = {
    "cPickle", "cloudpickle", "code", "codeop", "dill", "hickle", "joblib", "jsonpickle", "marshal",
    "pickle", "pickletools", "pty", "shelve", "_pickle", "xmlrpc",
}  # fmt: skip
"""Modules that unpickle, or run what they read."""
_BUILTINS = {"eval", "exec", "compile", "__import__"}
_CALLS = {
    "builtins.eval", "builtins.exec", "numpy.lib.npyio.load", "os.popen", "os.system",
    "pandas.read_pickle", "shutil.unpack_archive", "subprocess.getoutput",
    "subprocess.getstatusoutput", "tempfile.mktemp", "torch.hub.load", "yaml.full_load",
    "yaml.full_load_all", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
}  # fmt: skip
_METHODS = {"extractall", "load_from_checkpoint", "to_pickle", "read_pickle"}
"""Methods of any object; `extract` is one of polars' expressions too."""
_SAFE_YAML = {"SafeLoader", "CSafeLoader", "SafeDumper", "CSafeDumper"}
_PROCESSES = ("subprocess.", "asyncio.create_subprocess")
Offence = tuple[int, str]
"""Line and what is wrong there."""


def unsafe_calls(source: str) -> list[Offence]:
    """What is unsafe in a module, by line."""
    tree = ast.parse(source)
    names = _imported(tree)
    found = [offence for node in ast.walk(tree) for offence in _offences(node, names)]
    return sorted(found)


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name in the module → what it was imported as."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for own in node.names:
                whole = own.name if own.asname else own.name.partition(".")[0]
                names[own.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {own.asname or own.name: f"{node.module}.{own.name}" for own in node.names}
    return names


def _offences(node: ast.AST, names: dict[str, str]) -> Iterator[Offence]:
    if isinstance(node, ast.Import):
        modules = [own.name for own in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    else:
        modules = []
    for module in modules:
        if module.partition(".")[0] in MODULES:
            yield node.lineno, f"imports {module}"
    if isinstance(node, ast.ImportFrom | ast.Attribute):
        yield from _loaders(node, names)
    if isinstance(node, ast.Call):
        for what in _of_call(node, names):
            yield node.lineno, what


def _loaders(node: ast.ImportFrom | ast.Attribute, names: dict[str, str]) -> Iterator[Offence]:
    """Loaders of YAML that build objects, wherever they are named."""
    if isinstance(node, ast.ImportFrom):
        found = [f"{node.module}.{own.name}" for own in node.names]
    else:
        found = [_dotted(node, names)]
    for name in found:
        module, _, last = name.rpartition(".")
        loader = module.partition(".")[0] == "yaml" and last.endswith("Loader")
        if loader and last not in _SAFE_YAML:
            yield node.lineno, f"names {name}"


def _of_call(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _dotted(call.func, names)
    last = name.rpartition(".")[2]
    given = {own.arg: own.value for own in call.keywords if own.arg}
    starred = any(own.arg is None for own in call.keywords)
    bare = isinstance(call.func, ast.Name) and name == last
    if (bare and name in _BUILTINS) or name in _CALLS:
        yield f"calls {name}"
    if isinstance(call.func, ast.Attribute) and last in _METHODS:
        yield f"calls {last}"
    if name in ("torch.load", "torch.serialization.load") and not _is(given, "weights_only", True):
        yield "calls torch.load without weights_only=True"
    if name == "numpy.load" and not _is(given, "allow_pickle", False):
        yield "calls numpy.load without allow_pickle=False"
    if name.startswith(_PROCESSES) and "shell" in given and not _is(given, "shell", False):
        yield "starts a shell"
    if last in ("from_pretrained", "from_config", "pipeline") and _of_hugging_face(name):
        if starred or not _is(given, "trust_remote_code", False):
            yield f"calls {last} without trust_remote_code=False"
        weights = last == "from_pretrained" and "Model" in name
        if weights and not _is(given, "use_safetensors", True):
            yield "calls from_pretrained without use_safetensors=True"


def _of_hugging_face(name: str) -> bool:
    return name.startswith(("transformers.", "peft.")) or name.split(".")[0].startswith("Auto")


def _is(given: dict[str, ast.expr], name: str, value: bool) -> bool:
    own = given.get(name)
    return isinstance(own, ast.Constant) and own.value is value


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`np.load` as `numpy.load`; "" before what is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""
