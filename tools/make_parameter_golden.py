#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/golden/parameters.json: what transformers' pipelines answer with each of their parameters, on the checkpoints of
test/golden/checkpoints.

    python tools/make_parameter_golden.py     needs torch and transformers 4.57, the last one that answers questions
"""
import json
import pathlib

import numpy as np
import torch
import transformers

assert transformers.__version__.startswith("4.57."), transformers.__version__
transformers.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parent.parent / "test/golden"
LONG = "a very good film , with great acting and a bad play . "
WORDS = "unbelievable goodness of the acting , Caf\u00e9 t\u00e9l\u00e9 x 42 ."
CASES = [
    *(("token-classification", name, text, {"aggregation_strategy": how, **more})
      for name in ("bert-tag", "distilbert-tag") for text in ("this was a very good film , with great acting !", WORDS)
      for how, more in (("none", {}), ("simple", {}), ("first", {}), ("average", {}), ("max", {}), ("simple", {"ignore_labels": ["PER"]}),
                        ("none", {"ignore_labels": ["B-LOC", "I-LOC"]}), ("average", {"ignore_labels": []}))),
    *(("token-classification", name, LONG * 8, {"aggregation_strategy": how, "stride": stride})
      for name in ("bert-tag", "distilbert-tag") for how, stride in (("simple", 0), ("simple", 8), ("first", 4), ("max", 20))),
    *(("question-answering", name, {"question": "is this good ?", "context": context}, parameters)
      for name in ("bert-answer", "distilbert-answer") for context in (LONG, LONG * 6, WORDS)
      for parameters in ({}, {"top_k": 4}, {"topk": 2}, {"max_answer_len": 2}, {"max_answer_len": 30, "top_k": 3}, {"align_to_words": False, "top_k": 5},
                         {"handle_impossible_answer": True, "top_k": 3}, {"max_seq_len": 24}, {"max_seq_len": 24, "doc_stride": 4, "top_k": 3})),
    *(("fill-mask", name, text, parameters)
      for name in ("bert-fill", "distilbert-fill") for text in ("a very [MASK] film", "[MASK] acting , it was [MASK] .", "[MASK] !")
      for parameters in ({}, {"top_k": 2}, {"targets": ["good", "bad"]}, {"targets": "good", "top_k": 3}, {"targets": ["bad", "goodish", "bad"]})),
    *(("zero-shot-classification", "bert-classify", text, parameters)
      for text in ("a very good film", "bad")
      for parameters in ({"candidate_labels": ["good", "bad", "acting"]}, {"candidate_labels": "good, bad ,film"}, {"candidate_labels": ["good"]},
                         {"candidate_labels": ["good", "bad"], "multi_label": True},
                         {"candidate_labels": ["good", "bad"], "hypothesis_template": "it was {} , {{not}} great"})),
    *(("text-classification", name, text, parameters)
      for name in ("bert-classify", "bert-multilabel") for text in ("a very good film",)
      for parameters in ({"top_k": None}, {"top_k": 1}, {"top_k": 2}, {"top_k": None, "function_to_apply": "sigmoid"}, {"top_k": 2, "function_to_apply": "softmax"},
                         {"top_k": None, "function_to_apply": "none"})),
]
LENGTH = 40  # tokens that these checkpoints cut at


def plain(value):
    """Numbers as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


pipes = {}
rows = []
for task, name, inputs, parameters in CASES:
    if (task, name) not in pipes:
        pipes[task, name] = transformers.pipeline(task, str(HERE / "checkpoints" / name), dtype=torch.float32)
        pipes[task, name].tokenizer.model_max_length = LENGTH
        if "distilbert" in name:  # their settings name no class of tokenizer
            pipes[task, name].tokenizer.model_input_names = ["input_ids", "attention_mask"]
    pipe = pipes[task, name]
    answer = pipe(**inputs, **parameters) if isinstance(inputs, dict) else pipe(inputs, **parameters)
    rows.append({"model": name, "inputs": inputs, "parameters": parameters, "answer": plain(answer)})
(HERE / "parameters.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
print(len(rows))
