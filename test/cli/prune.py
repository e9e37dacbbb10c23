#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prunes tiny models from the command line, and imports checkpoints whose heads transformers has pruned. Prints TAP.

    prune.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from harness import GOLDEN, HERE, RETORT, checkpoint, close, fails, file, folder, main, model, read_safetensors, retort, rows, test, write_safetensors

DATA = GOLDEN / "training.tsv"


def prune(source, output, *more):
    return rows("prune", source, "--data", DATA, "-o", HERE / output, *more)[0]


def scores(path, *texts):
    return [label["score"] for row in rows("run", path, *texts) for label in sorted(row["labels"], key=lambda label: label["label"])]


@test
def what_stays_is_what_was_asked():
    done = prune(model("bert-wide"), "wide.retort", "--heads", "2", "--ffn", "70%")
    assert sum(layer["heads"] for layer in done["layers"]) <= 4 and [layer["ffn"] for layer in done["layers"]] == [64, 64], done
    assert done["parameters"] < done["parameters_before"] and done["loss"] >= 0, done
    done = prune(model("bert-classify"), "one.retort", "--layers", "1")
    assert len(done["layers"]) == 1, done
    done = prune(checkpoint("distilbert-classify"), "folder.retort", "--heads", "1")
    assert [layer["heads"] for layer in done["layers"]] == [1, 1], done
    out, _ = retort("prune", model("distilbert-classify"), "--data", DATA, "--heads", "2", "-o", HERE / "people.retort")
    assert b"heads " in out and b"retort train" in out, out


@test
def it_is_a_model_like_any_other():
    prune(model("distilbert-classify"), "p.retort", "--heads", "3", "--rounds", "2")
    path, texts = HERE / "p.retort", ("a good film", "the play was bad")
    info = rows("info", path)[0]
    assert "pruned" in info["recipe"], info
    retort("export", path, "-o", HERE / "p.onnx")
    retort("import", HERE / "p.onnx", "-o", HERE / "back.retort")
    for a, b in zip(scores(path, *texts), scores(HERE / "back.retort", *texts)):
        close(a, b)
    retort("quantize", path, "--recipe", "ptq+owq", "--data", DATA, "-o", HERE / "q.retort")
    retort("train", path, "--teacher", model("distilbert-classify"), "--data", DATA, "--steps", "3", "-o", HERE / "t.retort")
    assert len(scores(HERE / "q.retort", *texts)) == len(scores(HERE / "t.retort", *texts)) == 6
    assert rows("compare", model("distilbert-classify"), path, HERE / "q.retort", HERE / "t.retort", "--data", DATA)


@test
def what_is_refused():
    source, out = model("distilbert-classify"), ("-o", HERE / "x.retort")
    fails(2, "say what stays", "prune", source, "--data", DATA, *out)
    fails(2, "--data FILE is required", "prune", source, "--heads", "2", *out)
    for share, error in (("0", "say what stays"), ("1", "between 0 and 1"), ("150%", "is not a share"), ("nan", "is not a share"),
                         ("half", "is not a share"), ("50%%", "is not a share"), ("-3", "is not a share")):
        fails(2, error, "prune", source, "--data", DATA, "--ffn=" + share, *out)
    fails(2, "one or the other", "prune", source, "--data", DATA, "--time", "50%", "--heads", "2", *out)
    fails(2, "the model has 4", "prune", source, "--data", DATA, "--heads", "12", *out)
    fails(2, "prune the float model", "prune", model("distilbert-classify", dtype="bf16"), "--data", DATA, "--heads", "2", *out)
    fails(3, "share their weights", "prune", model("albert-classify"), "--data", DATA, "--layers", "1", *out)
    fails(3, "it contains no text", "prune", source, "--data", file("empty.tsv", "sentence\tlabel\n"), "--heads", "2", *out)
    assert not (HERE / "x.retort").exists()


@test
def an_interrupt_leaves_no_file():
    process = subprocess.Popen([RETORT, "prune", model("bert-long"), "--data", DATA, "--heads", "1", "--rounds", "64", "-o", HERE / "late.retort"],
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=60)
    assert code != 0 or (HERE / "late.retort").exists(), code
    assert code == 0 or not (HERE / "late.retort").exists(), code
    assert not list(HERE.glob("late.retort*tmp*")), list(HERE.iterdir())


def without_heads(source, name, layer, gone, names):
    """Two copies of a checkpoint: matrices without some heads, as prune_heads leaves them, and W_O of zeros for these heads."""
    def edit(tensors, key, rows_too, zero):
        dtype, shape, data = tensors[key]
        width, out = 4 * shape[1] if len(shape) == 2 else 4, bytearray()
        dim = (shape[0] if rows_too else shape[1]) // 4
        if rows_too:
            kept = [row for row in range(shape[0]) if row // dim not in gone]
            out = b"".join(data[row * width:(row + 1) * width] for row in kept)
            tensors[key] = (dtype, [len(kept), *shape[1:]], out)
            return
        for row in range(shape[0]):
            for column in range(shape[1]):
                at = 4 * (row * shape[1] + column)
                if column // dim not in gone:
                    out += data[at:at + 4]
                elif zero:
                    out += bytes(4)
        tensors[key] = (dtype, [shape[0], shape[1] if zero else shape[1] - dim * len(gone)], bytes(out))

    pruned = folder(source, name + "-pruned", {"config.json": {"pruned_heads": {str(layer): gone}}})
    zeroed = folder(source, name + "-zeroed")
    for path, zero in ((pruned, False), (zeroed, True)):
        tensors = read_safetensors(path / "model.safetensors")
        edit(tensors, names["out"] + ".weight", False, zero)
        if not zero:
            for part in ("q", "k", "v"):
                edit(tensors, names[part] + ".weight", True, False)
                edit(tensors, names[part] + ".bias", True, False)
        write_safetensors(path / "model.safetensors", tensors)
    return pruned, zeroed


@test
def heads_that_transformers_has_pruned():
    """pruned_heads in config.json: the answers are those of the whole checkpoint with nothing from these heads."""
    stem = "distilbert.transformer.layer.1.attention."
    distilbert = {"q": stem + "q_lin", "k": stem + "k_lin", "v": stem + "v_lin", "out": stem + "out_lin"}
    stem = "bert.encoder.layer.0.attention."
    bert = {"q": stem + "self.query", "k": stem + "self.key", "v": stem + "self.value", "out": stem + "output.dense"}
    for source, layer, gone, names in (("distilbert-classify", 1, [1, 2], distilbert), ("bert-classify", 0, [3], bert)):
        pruned, zeroed = without_heads(source, source, layer, gone, names)
        for level in ("0", "3"):
            paths = []
            for path in (pruned, zeroed):
                paths.append(HERE / f"{path.name}-{level}.retort")
                retort("import", path, "-o", paths[-1], "--level", level)
            for a, b in zip(*(scores(path, "a good film", "the play was bad and not good") for path in paths)):
                close(a, b)
        widths = rows("info", HERE / f"{pruned.name}-3.retort")[0]["layer_widths"]
        assert [widths[layer]["heads"], widths[1 - layer]["heads"]] == [4 - len(gone), 4], widths
    refused = folder("distilbert-classify", "not-pruned", {"config.json": {"pruned_heads": {"0": [1]}}})
    fails(3, "expected [12, 16]", "import", refused, "-o", HERE / "x.retort")
    shared = folder("albert-classify", "shared-pruned", {"config.json": {"pruned_heads": {"0": [1]}}})
    fails(3, "'pruned_heads' of albert", "import", shared, "-o", HERE / "x.retort")


main()
