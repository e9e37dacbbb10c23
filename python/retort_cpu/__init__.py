# SPDX-License-Identifier: Apache-2.0
"""retort: fine-tuned encoders, fast and small on CPUs.

    >>> import retort_cpu
    >>> model = retort_cpu.Model("model.retort")
    >>> model.classify("an utterly charming film")
    [{'label': 'POSITIVE', 'score': 0.9988}]
    >>> model.scores(["a", "b"])          # NumPy float32 [texts, labels]

docs/python.md tells more. retort_cpu.sklearn has an estimator for scikit-learn."""
_FROM = {"Error": "_library", "Head": "_work", "Model": "_model", "Pipeline": "_pipeline", "dequantize": "_work", "evaluate": "_work",
         "import_": "_work", "pipeline": "_pipeline", "quantize": "_work", "run_table": "_table", "train": "_work", "tune": "_work"}
__all__ = list(_FROM)


def __getattr__(name):
    """Each name is imported when it is first used: the command `retort` starts without NumPy."""
    from importlib import import_module
    if name == "__version__":
        value = ".".join(map(str, import_module("._retort", __name__).VERSION))
    elif name in _FROM:
        value = getattr(import_module("." + _FROM[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_FROM, "__version__"})
