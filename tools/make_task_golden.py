#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/golden/tasks.json: what transformers' pipelines answer on the checkpoints of test/golden/checkpoints.

    python tools/make_task_golden.py     needs torch, transformers 5

Question answering left transformers with version 5: answer() below follows the pipeline of 4.57 (windows of 384 with a
stride of 128, answers of up to 15 tokens, widened to words), here with windows of 40 and a stride of 20, since these
models cut at 40.
"""
import json
import pathlib

import numpy as np
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


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def best_answer(tokenizer, model, question, context):
    windows = tokenizer(question, context, truncation="only_second", max_length=40, stride=20, return_overflowing_tokens=True,
                        return_offsets_mapping=True)
    best = {"score": 0.0, "start": 0, "end": 0}
    for w, encoding in enumerate(windows.encodings):
        keep = {k: torch.tensor([windows[k][w]]) for k in ("input_ids", "token_type_ids", "attention_mask") if k in windows}
        with torch.no_grad():
            out = model(**keep)
        allowed = np.array([s == 1 for s in encoding.sequence_ids])
        visible = allowed.copy()
        visible[0] = True  # [CLS] takes part in the softmax and is then ruled out
        start = softmax(np.where(visible, out.start_logits[0].numpy(), -10000.0))
        end = softmax(np.where(visible, out.end_logits[0].numpy(), -10000.0))
        start[0] = end[0] = 0
        scores = np.tril(np.triu(np.outer(start, end)), 14)
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        if scores[first, last] <= best["score"]:
            continue
        words = encoding.word_ids
        begin = encoding.word_to_chars(words[first], 1)[0]
        stop = encoding.word_to_chars(words[last], 1)[1]
        best = {"score": float(scores[first, last]), "start": begin, "end": stop}
    return best


def answer(name):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder(name))
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder(name), dtype=torch.float32).eval()
    rows = []
    for context in TEXTS[:4] + ["the film was great in many very good plays , " * 10]:
        rows.append({"text": "is this good ?\t" + context, **best_answer(tokenizer, model, "is this good ?", context)})
    return rows


CASES = {
    "bert-tag": tag, "distilbert-tag": tag, "distilbert-classify": classify, "bert-classify": classify,
    "bert-multilabel": classify, "bert-fill": fill, "bert-answer": answer, "distilbert-answer": answer,
}
golden = {name: make(name) for name, make in CASES.items()}
(HERE / "tasks.json").write_text(json.dumps(golden, indent=0, ensure_ascii=True) + "\n")
