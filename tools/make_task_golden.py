#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/golden/tasks.json: what transformers' pipelines answer on the checkpoints of test/golden/checkpoints.

    python tools/make_task_golden.py     needs torch, transformers 5

Question answering left transformers with version 5: see make_parameter_golden.py.
"""
import json
import pathlib

import torch
import transformers

transformers.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parent.parent / "test/golden"
TEXTS = [
    "this was a very good film , with great acting !",
    "the play is bad and the acting was not good",
    "Caf\u00e9 \u00e9t\u00e9 t\u00e9l\u00e9 x 42",
    "\u4e2d\u6587 mixed \U0001f600 in",
    "a very long text " * 30,
    "",
]


def folder(name):
    return str(HERE / "checkpoints" / name)


def tag(name):
    pipe = transformers.pipeline("token-classification", folder(name), aggregation_strategy="simple", dtype=torch.float32)
    pipe.tokenizer.model_max_length = 40
    rows = []
    for text in TEXTS[:-1]:
        found = [{"start": int(e["start"]), "end": int(e["end"]), "label": e["entity_group"], "score": float(e["score"])}
                 for e in pipe(text)]
        rows.append({"text": text, "entities": found})
    return rows


def classify(name):
    pipe = transformers.pipeline("text-classification", folder(name), top_k=None, dtype=torch.float32)
    pairs = [{"text": TEXTS[0], "text_pair": TEXTS[1]}]
    rows = []
    for item in [{"text": t} for t in TEXTS] + pairs:
        found = pipe(item, truncation=True, max_length=40)
        rows.append({"text": "\t".join(item.values()), "labels": {e["label"]: float(e["score"]) for e in found}})
    return rows


def fill(name):
    pipe = transformers.pipeline("fill-mask", folder(name), top_k=5, dtype=torch.float32)
    texts = ["a very [MASK] film", "[MASK] acting was [MASK] ."]
    rows = []
    for text in texts:
        found = pipe(text)
        found = found if isinstance(found[0], list) else [found]
        rows.append({"text": text, "fill": [[{"id": g["token"], "score": float(g["score"])} for g in mask] for mask in found]})
    return rows


CASES = {
    "bert-tag": tag, "distilbert-tag": tag, "distilbert-classify": classify, "bert-classify": classify,
    "bert-multilabel": classify, "bert-fill": fill,
}
golden = {name: make(name) for name, make in CASES.items()}
(HERE / "tasks.json").write_text(json.dumps(golden, indent=0, ensure_ascii=True) + "\n")
