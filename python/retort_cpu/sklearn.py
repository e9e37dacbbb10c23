# SPDX-License-Identifier: Apache-2.0
"""An estimator for scikit-learn (1.3 or later)."""
import json
import os
import tempfile

import numpy

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import unique_labels
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(f"retort_cpu.sklearn needs scikit-learn: pip install scikit-learn ({error})") from None

from ._library import warn
from ._work import Head, import_, quantize, train


class RetortClassifier(ClassifierMixin, BaseEstimator):
    """Fine-tunes an encoder on texts and labels, as `retort train` does.

    checkpoint: what import_ takes: a folder, or OWNER/NAME in the local cache of the hub.
    epochs, learning_rate, batch, max_length, seed: of the training; None: its defaults.
    recipe: None, or "int8", "int4": the trained model is quantised. threads: None: see Model.

    X is a list, array or column of str, or of pairs of str; y any labels, one per text. After fit: classes_, model_ (a Model), result_ (a dict).
    """

    def __init__(self, checkpoint=None, *, epochs=None, learning_rate=None, batch=None, max_length=None, seed=0, recipe=None, threads=None):
        self.checkpoint = checkpoint
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch = batch
        self.max_length = max_length
        self.seed = seed
        self.recipe = recipe
        self.threads = threads

    @staticmethod
    def _texts(X):
        """str, or tuples of two str: all alike."""
        if isinstance(X, str) or hasattr(X, "columns"):
            raise TypeError(f"X is a {type(X).__name__}: expected a list or array of texts, as one column of a table is")
        texts = [tuple(x) if isinstance(x, (tuple, list, numpy.ndarray)) else x for x in X]
        for i, text in enumerate(texts):
            if not isinstance(text, str) and not (isinstance(text, tuple) and [isinstance(t, str) for t in text] == [True, True]):
                raise TypeError(f"X, text {i}: expected a str, or a pair of them, found {type(text).__name__}: {text!r:.60}")
            if isinstance(text, tuple) != isinstance(texts[0], tuple):
                raise TypeError(f"X, text {i}: expected {'a pair' if isinstance(texts[0], tuple) else 'one text'}, as text 0 is")
        return texts

    def fit(self, X, y):
        if self.checkpoint is None:
            raise ValueError("checkpoint: expected a folder, or OWNER/NAME in the local cache of the hub: RetortClassifier(checkpoint)")
        texts, y = self._texts(X), numpy.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"y has {y.ndim} dimensions: expected one label per text")
        if len(texts) != len(y):
            raise ValueError(f"X has {len(texts)} texts and y {len(y)} labels")
        missing = [i for i, label in enumerate(y.tolist()) if label is None or label != label]  # NaN
        if missing:
            raise ValueError(f"y, label {missing[0]}: is missing ({y[missing[0]]}): each text needs one")
        self.classes_ = unique_labels(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class{'' if len(self.classes_) == 1 else 'es'}: a classifier needs at least 2")
        names = [str(label) for label in self.classes_.tolist()]
        names = names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names)]
        labels = numpy.searchsorted(self.classes_, y)
        fd, path = tempfile.mkstemp(suffix=".jsonl", prefix="retort-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                for text, label in zip(texts, labels):
                    pair = {"sentence1": text[0], "sentence2": text[1]} if isinstance(text, tuple) else {"text": text}
                    file.write(json.dumps({**pair, "label": names[label]}) + "\n")
            start = import_(self.checkpoint, head=Head(names, seed=self.seed))
            options = {name: getattr(self, name) for name in ("epochs", "learning_rate", "batch", "max_length", "threads")}
            model, self.result_ = train(start, path, warning=lambda text: warn(text.replace(path, "X")), seed=self.seed,
                                        **{k: v for k, v in options.items() if v is not None})
            self.model_ = quantize(model, self.recipe) if self.recipe is not None else model
        finally:
            os.unlink(path)
        self.model_._options["threads"] = self.threads
        return self

    def predict_proba(self, X):
        """float32 [texts, classes], columns as classes_."""
        check_is_fitted(self, "model_")
        return self.model_.scores(self._texts(X))

    def decision_function(self, X):
        """float32 [texts, classes]: logits; for two classes the difference [texts]."""
        check_is_fitted(self, "model_")
        logits = self.model_.logits(self._texts(X))
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X):
        check_is_fitted(self, "model_")
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "model_" in state:  # the bytes of its file
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.retort")
                state.pop("model_").save(path)
                with open(path, "rb") as file:
                    state["_model_bytes"] = file.read()
        return state

    def __setstate__(self, state):
        data = state.pop("_model_bytes", None)
        super().__setstate__(state)
        if data is not None:
            from ._model import Model
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.retort")
                with open(path, "wb") as file:
                    file.write(data)
                self.model_ = Model(path, threads=self.threads)
                self.model_._source = None  # mapped, and gone from the folder
