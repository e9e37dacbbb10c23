#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What else a checkpoint's folder says: how its settings change the answers, or are refused by name. Prints TAP.

    folders.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
from harness import HERE, checkpoint, fails, main, retort, rows, test

WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()


def folder(source, name, changes=None, without=()):
    """A copy of a golden checkpoint; `changes`: files and the members of their JSON that become others (None: go), or
    their whole content."""
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(checkpoint(source), path)
    for file in without:
        (path / file).unlink()
    for file, change in (changes or {}).items():
        at = path / file
        at.parent.mkdir(exist_ok=True)
        if isinstance(change, (str, bytes)):
            at.write_bytes(change if isinstance(change, bytes) else change.encode())
            continue
        if isinstance(change, dict) and at.exists():
            change = {**json.loads(at.read_text()), **change}
            change = {key: value for key, value in change.items() if value is not None}
        at.write_text(json.dumps(change))
    return path


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


if __name__ == "__main__":
    main()
