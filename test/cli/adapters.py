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
from harness import HERE, checkpoint, fails, main, retort, rows, test

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
    fails(3, "lora_magnitude_vector", "import", changed(use_dora=True), "-o", HERE / "x")
    other = changed()
    shutil.copy(pathlib.Path(checkpoint("distilbert-classify")) / "config.json", other / "config.json")
    shutil.copy(pathlib.Path(checkpoint("distilbert-classify")) / "model.safetensors", other / "model.safetensors")
    fails(3, "is it an adapter of another checkpoint?", "import", other, "-o", HERE / "x")
    lost = changed()
    (lost / FILES[1]).unlink()
    fails(3, "neither adapter_model.safetensors nor adapter_model.bin", "import", lost, "-o", HERE / "x")


main()
