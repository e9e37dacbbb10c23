#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Imports LoRA adapters: beside their base, in a folder of their own, and with a base in the hub's cache; and what is refused.
Prints TAP.

    adapters.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import os
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
from harness import HERE, checkpoint, fails, main, read_safetensors, retort, rows, test, write_safetensors

FILES = ("adapter_config.json", "adapter_model.safetensors")


def logits(source, **options):
    return rows("run", source, "good film", **options)[0]["logits"]


def split(name, base):
    """The adapter alone, in a folder whose configuration names `base`, and the base alone."""
    alone, plain = HERE / f"{name}-alone", HERE / f"{name}-plain"
    shutil.rmtree(alone, ignore_errors=True)
    shutil.rmtree(plain, ignore_errors=True)
    shutil.copytree(checkpoint(name), plain)
    alone.mkdir()
    for file in FILES:
        shutil.move(plain / file, alone / file)
    change(alone, base_model_name_or_path=str(plain) if base is None else base)
    return alone, plain


def change(folder, **keys):
    path = folder / FILES[0]
    config = json.loads(path.read_text())
    config.update(keys)
    path.write_text(json.dumps(config))


def changed(**keys):
    folder = HERE / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(checkpoint("adapter-classify"), folder)
    change(folder, **keys)
    return folder


@test
def alone():
    for name in ("adapter-classify", "adapter-dora"):
        folder, plain = split(name, None)
        assert logits(folder) == logits(checkpoint(name)) != logits(plain), name


@test
def in_the_cache():
    """A base by its id, in the layout of the hub's cache; and a model's folder of that cache as the source."""
    folder, plain = split("adapter-classify", "somebody/small-model")
    cache = HERE / "hub" / "models--somebody--small-model"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abcd")
    shutil.copytree(plain, cache / "snapshots" / "0123abcd")
    os.environ["HF_HUB_CACHE"] = str(HERE / "hub")
    assert logits(folder) == logits(checkpoint("adapter-classify"))
    assert logits(cache) == logits("somebody/small-model") == logits(plain)
    os.environ["HF_HUB_CACHE"] = str(HERE / "nowhere")
    fails(3, "the base 'somebody/small-model' is no folder here, and not in the local cache of the hub", "run", folder, "a")


@test
def labels():
    """An adapter trained a head of its own: its labels have no names; those of the base stay if there are as many."""
    assert [entry["label"] for entry in rows("run", checkpoint("adapter-classify"), "good", "--top", "3")[0]["labels"]][0] in ("negative", "neutral", "positive")
    info = rows("info", checkpoint("adapter-tag"))[0]
    assert info["task"] == "tag" and info["labels"] == 5, info


@test
def refused():
    fails(3, "'peft_type' is \"IA3\"", "import", changed(peft_type="IA3"), "-o", HERE / "x")
    fails(3, "'init_lora_weights' is \"pissa\"", "import", changed(init_lora_weights="pissa"), "-o", HERE / "x")
    fails(3, "'layer_replication' is [[0,2]]", "import", changed(layer_replication=[[0, 2]]), "-o", HERE / "x")
    fails(3, "'invented_key' is true", "import", changed(invented_key=True), "-o", HERE / "x")
    fails(3, "'rank_pattern' is {\"val.*\":2}: a regular expression", "import", changed(rank_pattern={"val.*": 2}), "-o", HERE / "x")
    fails(3, "a rank of 2; adapter_config.json says 3", "import", changed(rank_pattern={}), "-o", HERE / "x")
    fails(3, "'lora_alpha' of bert.encoder.layer.0.attention.self.query: expected a number", "import", changed(lora_alpha="8", alpha_pattern={}), "-o", HERE / "x")
    fails(3, "'task_type' is \"CAUSAL_LM\"", "import", changed(task_type="CAUSAL_LM"), "-o", HERE / "x")
    for value in "yes", 1:
        fails(3, "expected true or false", "import", changed(use_rslora=value), "-o", HERE / "x")
        fails(3, "expected true or false", "import", changed(use_dora=value), "-o", HERE / "x")
    fails(3, "'alpha_pattern' is [1]: expected an object", "import", changed(alpha_pattern=[1]), "-o", HERE / "x")
    fails(3, "lora_magnitude_vector", "import", changed(use_dora=True), "-o", HERE / "x")
    other = changed()
    shutil.copy(pathlib.Path(checkpoint("distilbert-classify")) / "config.json", other / "config.json")
    shutil.copy(pathlib.Path(checkpoint("distilbert-classify")) / "model.safetensors", other / "model.safetensors")
    fails(3, "is it an adapter of another checkpoint?", "import", other, "-o", HERE / "x")
    lost = changed()
    (lost / FILES[1]).unlink()
    fails(3, "neither adapter_model.safetensors nor adapter_model.bin", "import", lost, "-o", HERE / "x")


@test
def tensors_that_do_not_fit():
    folder = changed()
    path = folder / FILES[1]
    tensors = read_safetensors(path)
    query = "base_model.model.bert.encoder.layer.0.attention.self.query"
    a, b, bias = f"{query}.lora_A.weight", f"{query}.lora_B.weight", "base_model.model.bert.embeddings.LayerNorm.bias"

    def refused(error, **edits):
        write_safetensors(path, {name: value for name, value in {**tensors, **edits}.items() if value is not None})
        fails(3, f"{FILES[1]}: {error}", "import", folder, "-o", HERE / "x")

    dtype, shape, data = tensors[a]
    refused(f"tensor '{a}': expected finite numbers", **{a: (dtype, shape, b"\x00\x00\xc0\x7f" + data[4:])})
    refused(f"tensor '{a}': expected f32, f16 or bf16", **{a: ("I32", shape, data)})
    refused(f"tensor '{a}': expected a matrix", **{a: (dtype, [shape[0] * shape[1]], data)})
    refused(f"{query}: factors of 16 x 3 and 3 x 0", **{a: (dtype, [3, 0], b"")})
    refused(f"tensor '{a}' without '{b}'", **{b: None})
    refused(f"tensor '{b}' without '{a}'", **{a: None})
    refused(f"tensor '{bias}': a shape of [2, 8]; the base's is [16]", **{bias: (dtype, [2, 8], tensors[bias][2])})
    refused("no tensors", **{name: None for name in tensors})


@test
def words_of_a_masked_language_model():
    """Where the words are trained, the decoder that shares them stays the base's, as while PEFT trained."""
    name = "bert.embeddings.word_embeddings.weight"
    folder, whole = changed(base_model_name_or_path=None, bias="none", task_type=None), HERE / "whole"
    for file in ("config.json", "model.safetensors"):
        shutil.copy(pathlib.Path(checkpoint("bert-fill"), file), folder / file)
    base = read_safetensors(folder / "model.safetensors")
    dtype, shape, data = base[name]
    words = (dtype, shape, data[len(data) // 2:] + data[:len(data) // 2])
    write_safetensors(folder / FILES[1], {f"base_model.model.{name}": words})
    shutil.copytree(folder, whole)
    for file in FILES:
        (whole / file).unlink()
    write_safetensors(whole / "model.safetensors", {**base, name: words, "cls.predictions.decoder.weight": base[name]})
    answers = [rows("run", source, "a [MASK] film") for source in (folder, whole, checkpoint("bert-fill"))]
    assert answers[0] == answers[1] != answers[2], answers


@test
def bases():
    folder, plain = split("adapter-classify", None)
    for base in folder, checkpoint("adapter-dora"):
        change(folder, base_model_name_or_path=str(base))
        fails(3, f"the base '{base}' has an adapter itself", "import", folder, "-o", HERE / "x")
    for base in "", "../x", "a/../b", "a/b/c", str(plain / "config.json"), "x" * 5000:
        change(folder, base_model_name_or_path=base)
        fails(3, f"the base '{base[:200]}' is no folder here", "import", folder, "-o", HERE / "x")


main()
