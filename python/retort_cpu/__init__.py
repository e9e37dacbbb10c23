# SPDX-License-Identifier: Apache-2.0
"""retort: fine-tuned encoders, fast and small on CPUs.

    >>> import retort_cpu
    >>> model = retort_cpu.Model("model.retort")
    >>> model.classify("an utterly charming film")
    [{'label': 'POSITIVE', 'score': 0.9988}]
    >>> model.scores(["a", "b"])          # NumPy float32 [texts, labels]

docs/python.md tells more. retort_cpu.sklearn has an estimator for scikit-learn."""
from . import _retort
from ._library import Error
from ._model import Model
from ._pipeline import Pipeline, pipeline
from ._table import run_table
from ._work import Head, dequantize, evaluate, import_, quantize, train, tune

__version__ = ".".join(map(str, _retort.VERSION))
__all__ = ["Error", "Head", "Model", "Pipeline", "dequantize", "evaluate", "import_", "pipeline", "quantize", "run_table", "train", "tune"]
