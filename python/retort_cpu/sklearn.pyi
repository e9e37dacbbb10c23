# SPDX-License-Identifier: Apache-2.0
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from . import Model

_Text = Union[str, Tuple[str, str]]
_Texts = Union[Sequence[_Text], NDArray[Any]]

class RetortClassifier(ClassifierMixin, BaseEstimator):
    checkpoint: Optional[str]
    epochs: Optional[int]
    learning_rate: Optional[float]
    batch: Optional[int]
    max_length: Optional[int]
    seed: int
    recipe: Optional[str]
    threads: Optional[int]
    classes_: NDArray[Any]
    model_: Model
    result_: Dict[str, Any]
    def __init__(self, checkpoint: Optional[str] = ..., *, epochs: Optional[int] = ..., learning_rate: Optional[float] = ...,
                 batch: Optional[int] = ..., max_length: Optional[int] = ..., seed: int = ..., recipe: Optional[str] = ...,
                 threads: Optional[int] = ...) -> None: ...
    def fit(self, X: _Texts, y: ArrayLike) -> RetortClassifier: ...
    def predict_proba(self, X: _Texts) -> NDArray[numpy.float32]: ...
    def decision_function(self, X: _Texts) -> NDArray[numpy.float32]: ...
    def predict(self, X: _Texts) -> NDArray[Any]: ...
    def __getstate__(self) -> Dict[str, Any]: ...
    def __setstate__(self, state: Dict[str, Any]) -> None: ...
