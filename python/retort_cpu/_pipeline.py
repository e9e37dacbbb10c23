# SPDX-License-Identifier: Apache-2.0
"""pipeline(task, model): calls and answers as those of transformers."""
import inspect

import numpy

from ._library import Error
from ._model import Model, best_columns
from ._texts import as_list


def _texts(inputs):
    """transformers takes a str, {"text", "text_pair"}, or a list of these."""
    def one(item):
        if isinstance(item, dict):
            if "text" not in item or not item.keys() <= {"text", "text_pair"}:
                raise Error(f"expected {{'text': …}} or {{'text': …, 'text_pair': …}}, found {', '.join(map(repr, item)) or 'an empty dict'}")
            return (item["text"], item["text_pair"]) if item.get("text_pair") is not None else item["text"]
        return item

    return one(inputs) if isinstance(inputs, (str, dict, tuple)) else [one(item) for item in as_list(inputs)[0]]


def _scores(model, texts, function, batch_size):
    if function in (None, "default"):
        return model.scores(texts, batch_size=batch_size)
    logits = numpy.atleast_2d(model.logits(texts, batch_size=batch_size)).astype(numpy.float64)
    if function == "softmax":
        scores = numpy.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    elif function == "sigmoid":
        scores = 1 / (1 + numpy.exp(-logits))
    elif function == "none":
        scores = logits
    else:
        raise Error(f"function_to_apply {function!r}: expected default, softmax, sigmoid or none")
    return scores.astype(numpy.float32)


def _text_classification(model, inputs, top_k="", function_to_apply=None, batch_size=None):
    texts, one = as_list(_texts(inputs))
    scores = numpy.atleast_2d(_scores(model, texts, function_to_apply, batch_size))
    k = 1 if top_k == "" else top_k
    answers = [[{"label": model.labels[i], "score": float(row[i])} for i in order]
               for row, order in zip(scores, best_columns(scores, k))]
    if top_k == "":  # transformers' default: one dict per text
        return [answer[0] for answer in answers]
    return answers[0] if one else answers


def _token_classification(model, inputs, aggregation_strategy="none", ignore_labels=("O",), stride=None):
    return model.tag(inputs, aggregation_strategy, ignore=ignore_labels, stride=stride)


def _question_answering(model, inputs=None, question=None, context=None, top_k=1, **options):
    if isinstance(inputs, (list, tuple)):
        return [_question_answering(model, item, top_k=top_k, **options) for item in inputs]
    if inputs is not None:
        if not isinstance(inputs, dict) or inputs.keys() != {"question", "context"}:
            raise TypeError(f"expected {{'question': …, 'context': …}}, found {type(inputs).__name__}: {inputs!r:.60}")
        question, context = inputs["question"], inputs["context"]
    answers = model.answer(question, context, top_k, **options)
    return answers[0] if top_k == 1 else answers


def _fill_mask(model, inputs, top_k=5, targets=None):
    return model.fill(inputs, top_k, targets=targets)


def _feature_extraction(model, inputs, normalize=False):
    return model.embed(inputs, normalize=normalize)


def _zero_shot(model, inputs, candidate_labels, hypothesis_template=None, multi_label=False):
    labels = [s.strip() for s in candidate_labels.split(",") if s.strip()] if isinstance(candidate_labels, str) else list(candidate_labels)
    texts, one = as_list(inputs)
    answers = []
    for text in texts:
        scores = model.zero_shot(text, labels, hypothesis=hypothesis_template, multi_label=multi_label)
        order = best_columns(scores[None], None)[0]
        answers.append({"sequence": text, "labels": [labels[i] for i in order], "scores": [float(scores[i]) for i in order]})
    return answers[0] if one else answers


TASKS = {
    "text-classification": ("classify", _text_classification),
    "sentiment-analysis": ("classify", _text_classification),
    "zero-shot-classification": ("classify", _zero_shot),
    "token-classification": ("tag", _token_classification),
    "ner": ("tag", _token_classification),
    "question-answering": ("answer", _question_answering),
    "fill-mask": ("fill", _fill_mask),
    "feature-extraction": ("embed", _feature_extraction),
}


INPUTS = {"zero-shot-classification": (1, 2), "question-answering": (0, 1)}  # least and most arguments without a name; of others one


class Pipeline:
    """What pipeline() gives: call it with texts."""

    def __init__(self, task, model, **options):
        if task not in TASKS:
            raise Error(f"pipeline {task!r}: expected one of {', '.join(TASKS)}")
        needed, self._run = TASKS[task]
        self.task = task
        self.model = model if isinstance(model, Model) else Model(model)
        self._check(options)
        self._options = options
        if self.model.task != needed:
            raise Error(f"pipeline {task!r}: the model was made to {self.model.task}")

    def __repr__(self):
        return f"<retort_cpu.Pipeline {self.task}: {self.model!r}>"

    def _check(self, options):
        """`truncation=True`, `padding` and `device="cpu"` say what is done anyway, or does not change the answers."""
        if options.pop("truncation", True) is not True:
            raise Error("truncation: texts are always cut at what the model reads: expected True")
        if (device := options.pop("device", None)) not in (None, -1) and str(device) != "cpu":
            raise Error(f"device {device!r}: retort runs on CPUs: expected 'cpu'")
        options.pop("padding", None)
        known = [name for name, it in inspect.signature(self._run).parameters.items() if it.kind is not it.VAR_KEYWORD and name != "model"]
        if self._run is _question_answering:
            known += [name for name in inspect.signature(Model.answer).parameters if name not in ("self", *known)]
        for name in options:
            if name not in known:
                raise Error(f"pipeline {self.task!r} has no option {name!r}; it has {', '.join(known[1:])}")

    def __call__(self, *inputs, **options):
        least, most = INPUTS.get(self.task, (1, 1))
        if not least <= len(inputs) + ("inputs" in options) <= most:
            raise TypeError(f"pipeline {self.task!r}: expected one text, or a list of texts, found {len(inputs)} arguments")
        self._check(options)
        return self._run(self.model, *inputs, **{**self._options, **options})


def pipeline(task, model, **options):
    """transformers' pipeline for a retort model (or what Model takes): text-classification, zero-shot-classification,
    token-classification, question-answering, fill-mask or feature-extraction (pooled vectors [texts, hidden]).

    options: defaults of the call: top_k, function_to_apply, aggregation_strategy, …; truncation=True, which is always done."""
    return Pipeline(task, model, **options)
