#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What else a checkpoint's folder says: how its settings change the answers, or are refused by name. Prints TAP.

    folders.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import math
import sys

sys.dont_write_bytecode = True
from harness import HERE, close, folder, main, retort, rows, test, with_labels

WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()


def ids(path, text):
    return rows("tokenize", path, text)[0]["ids"]


def pieces(path, text):
    """Token ids without the first and the last."""
    return ids(path, text)[1:-1]


# ---- tokenizer settings ----


@test
def the_side_that_is_cut():
    text = " ".join(WORDS * 3)
    whole = pieces(folder("distilbert-classify", "whole", {"tokenizer_config.json": {"model_max_length": None}},
                          without=["tokenizer.json"]), " ".join(WORDS))
    for name, changes, without in [
        ("vocab", {"tokenizer_config.json": {"model_max_length": 12, "truncation_side": "left"}}, ["tokenizer.json"]),
        ("json", {"tokenizer_config.json": {"model_max_length": 12, "truncation_side": "left"}}, []),
        ("file", {"tokenizer_config.json": {"model_max_length": 12},
                  "tokenizer.json": {"truncation": {"direction": "Left", "max_length": 99, "strategy": "LongestFirst",
                                                    "stride": 0}}}, []),
    ]:
        left = folder("distilbert-classify", name, changes, without)
        assert pieces(left, text) == whole[-10:], name
        packed = HERE / f"{name}.retort"
        retort("import", left, "-o", packed)
        assert pieces(packed, text) == whole[-10:], name
    both = {**changes, "tokenizer_config.json": {"model_max_length": 12, "truncation_side": "right"}}
    assert pieces(folder("distilbert-classify", "both", both), text) == whole[:10]
    pair = rows("tokenize", HERE / "vocab", f"{text}\tgood film")[0]["ids"]
    assert len(pair) == 12


@test
def how_long_a_text_may_be():
    text = " ".join(WORDS * 3)
    old = {"tokenizer_config.json": {"model_max_length": None, "max_len": 16}}
    assert len(ids(folder("distilbert-classify", "old", old), text)) == 16
    new = {"tokenizer_config.json": {"model_max_length": 20, "max_len": 16}}
    assert len(ids(folder("distilbert-classify", "new", new), text)) == 20
    # A package's max_seq_length goes before the tokenizer's, also where it is the longer one.
    for stated, expected in ((44, 44), (8, 8), (99, 48)):
        package = folder("package-mean", "package", {"sentence_bert_config.json": {"max_seq_length": stated}})
        assert len(ids(package, text)) == expected


# ---- labels ----


@test
def one_label():
    sigmoid = lambda logit: 1 / (1 + math.exp(-logit))
    for name, problem, function in [
        ("none", None, sigmoid),
        ("single", "single_label_classification", sigmoid),
        ("several", "multi_label_classification", sigmoid),
        ("regression", "regression", lambda logit: logit),
    ]:
        answer = rows("run", with_labels("bert-classify", name, 1, problem_type=problem), "good film")[0]
        close(answer["labels"][0]["score"], function(answer["logits"][0]), 1e-6)
    data = HERE / "values.tsv"
    data.write_text("sentence\tscore\ngood film\t0.1\nbad\t2\nacting\t3\n")
    assert rows("eval", HERE / "none", "--data", data)[0]["metric"] == "spearman"


if __name__ == "__main__":
    main()
