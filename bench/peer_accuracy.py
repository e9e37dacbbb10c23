#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the engines people use lose with their own integer forms of a classifier, beside retort's recipes: file, metric, mean KL
and agreement with the float model, on real texts.

usage: peer_accuracy.py SHARED --retort BINARY [--models sst2,banking77] [--peers ort-int8,…] [--recipes int8,…]
                        [--threads N] [--write docs/accuracy.md]

SHARED    folder with models/NAME (checkpoint) and data/NAME/{train,test}.tsv
Peers and recipes are calibrated on train.tsv. A peer gets one text at a time, unpadded: a range of its activations is then
that of one text, the best it can have. Needs what the peers need: torch, transformers, onnxruntime, openvino, nncf.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

from engines import PEERS, export_onnx, form_bytes
from peers import cpu, write_block


def read_test(path):
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["sentence"] for row in rows], [row["label"] for row in rows]


def log_softmax(logits):
    import numpy
    shifted = logits.astype(numpy.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))


def compared(logits, reference, truth):
    """Accuracy, mean KL(reference || logits), agreement."""
    import numpy
    p, q = log_softmax(reference), log_softmax(logits)
    best = logits.argmax(axis=1)
    return ((best == truth).mean(), (numpy.exp(p) * (p - q)).sum(axis=1).mean(), (best == reference.argmax(axis=1)).mean())


def class_indices(checkpoint, labels):
    import numpy
    names = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["label2id"]
    return numpy.array([names[label] if label in names else int(label) for label in labels])


def run_peer(call, checkpoint, texts):
    import numpy
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    rows = []
    for text in texts:
        ids = numpy.array([tokenizer.encode(text).ids], dtype=numpy.int64)
        out = call(ids, numpy.ones_like(ids))
        rows.append(numpy.asarray(out[0]).reshape(-1))
    return numpy.stack(rows)


def peer_rows(args, name, work, reference, test, truth):
    checkpoint = args.shared / "models" / name
    args.checkpoint, args.calibration, args.model = str(checkpoint), str(args.shared / "data" / name / "train.tsv"), None
    export_onnx(args.checkpoint, work)
    for key in args.peers.split(","):
        title, make = PEERS[key]
        logits = run_peer(make(args, work), checkpoint, test)
        yield (title, form_bytes(key, work), *compared(logits, reference, truth))


def retort_rows(args, name, work, model):
    data = args.shared / "data" / name
    for recipe in args.recipes.split(","):
        small = work / "s.retort"
        subprocess.run([args.retort, "quantize", model, "--recipe", recipe, "--data", data / "train.tsv", "-o", small], check=True,
                       capture_output=True)
        out = subprocess.run([args.retort, "eval", small, "--data", data / "test.tsv", "--reference", model, "--json"], check=True,
                             capture_output=True, text=True).stdout
        found = json.loads(out.strip().splitlines()[-1])
        yield f"retort {recipe}", small.stat().st_size, found["value"], found["kl"], found["agreement"]


def float_model(args, name, work):
    """Our file, and its logits: float32 differs from transformers' by less than 1e-4."""
    import numpy
    model, logits = work / "m.retort", work / "logits.tsv"
    subprocess.run([args.retort, "import", args.shared / "models" / name, "-o", model], check=True, capture_output=True)
    subprocess.run([args.retort, "eval", model, "--data", args.shared / "data" / name / "test.tsv", "--logits", logits], check=True,
                   capture_output=True)
    return model, numpy.loadtxt(logits, delimiter="\t")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--models", default="sst2,banking77")
    parser.add_argument("--peers", default="ort-int8,ort-static,openvino-int8,ort-int4,openvino-int4,openvino-int4-awq")
    parser.add_argument("--recipes", default="int8,smoothquant,int4,ptq+owq")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write")
    args = parser.parse_args()
    lines = [f"Command: `bench/peer_accuracy.py SHARED --retort BINARY --models {args.models} --peers {args.peers} --recipes {args.recipes}`", "",
             f"CPU: {cpu()}", "", "| model | form | file, MB | accuracy | mean KL | agreement |", "|---|---|---|---|---|---|"]
    for name in args.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            model, reference = float_model(args, name, work)
            test, labels = read_test(args.shared / "data" / name / "test.tsv")
            truth = class_indices(args.shared / "models" / name, labels)
            for rows in (peer_rows(args, name, work, reference, test, truth), retort_rows(args, name, work, model)):
                for title, size, accuracy, kl, agreement in rows:
                    lines.append(f"| {name} | {title} | {size / 1e6:.1f} | {accuracy:.6f} | {kl:.2e} | {agreement:.4f} |")
                    print(lines[-1], flush=True)
    if args.write:
        write_block(args.write, "peers", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
