#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluates a multilingual sentence encoder on English and Korean similarity: float, integers, a vocabulary restricted to both
languages, and sentence-transformers.

usage: multilingual.py CHECKPOINT SHARED --retort BINARY [--prefix "query: "] [--samples N] [--reference PYTHON] [--keep F.jsonl]
                       [--write docs/accuracy.md]

CHECKPOINT   a sentence-transformers folder
SHARED       folder with data/{stsb,korsts,nsmc,sst2,banking77}
--reference  a Python with sentence-transformers, for its row
--keep       results so far: what stands there is not measured again
Calibrated on texts of stsb/train.tsv and nsmc/train.tsv; the vocabulary is restricted to these files' texts and those of sst2 and
banking77. Neither has seen the texts that are evaluated. Only the standard library is needed.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import kept
from peers import cpu, write_block

SETS = ("stsb", "korsts")
REFERENCE = """
import sys
from sentence_transformers import SentenceTransformer
import numpy
model, data = SentenceTransformer(sys.argv[1], device="cpu"), sys.argv[2]
rows = [line.rstrip("\\n").split("\\t") for line in open(data, encoding="utf-8")][1:]
a, b = (model.encode([row[i] for row in rows], normalize_embeddings=True).astype(numpy.float64) for i in (0, 1))

def ranks(values):
    _, group, count = numpy.unique(values, return_inverse=True, return_counts=True)
    return (numpy.cumsum(count) - (count - 1) / 2)[group]
print(numpy.corrcoef(ranks((a * b).sum(axis=1)), ranks(numpy.array([float(row[2]) for row in rows])))[0, 1])
"""


def columns(path, *names):
    with open(path, encoding="utf-8") as file:
        head, *rows = [line.rstrip("\n").split("\t") for line in file]
    return [[row[head.index(name)] for name in names] for row in rows]


def prepare(args, work):
    """Files of texts with the prefix."""
    data = args.shared / "data"
    for name in SETS:
        rows = columns(data / name / "dev.tsv", "sentence1", "sentence2", "score")
        lines = ["sentence1\tsentence2\tscore", *(f"{args.prefix}{a}\t{args.prefix}{b}\t{score}" for a, b, score in rows)]
        (work / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flat = lambda rows: [text for row in rows for text in row]
    stsb = flat(columns(data / "stsb/train.tsv", "sentence1", "sentence2"))
    nsmc = flat(columns(data / "nsmc/train.tsv", "sentence"))
    others = flat(columns(data / "sst2/train.tsv", "sentence")) + flat(columns(data / "banking77/train.tsv", "sentence"))
    in_turn = [text for pair in zip(stsb[::20], nsmc[::100]) for text in pair]
    for name, texts in (("calibration", in_turn), ("texts", stsb + others + nsmc)):
        (work / f"{name}.txt").write_text("".join(f"{args.prefix}{text}\n" for text in texts), encoding="utf-8")


def make(args, work, name):
    """The model of a row, made when it is needed first."""
    path = work / f"{name}.retort"
    if path.exists():
        return path
    if name.startswith("f32"):
        more = ["--languages", "ko,en", "--texts", str(work / "texts.txt")] if name == "f32-koen" else []
        command = ["import", str(args.checkpoint), *more]
    else:
        how, _, part = name.partition("-")
        recipe, *bits = how.split(":")
        source = make(args, work, "f32-koen" if part else "f32")
        data = ["--data", str(work / "calibration.txt"), "--samples", str(args.samples)] if recipe == "ptq+owq" else []
        command = ["quantize", str(source), "--recipe", recipe, *data, *(["--embeddings", *bits] if bits else [])]
    subprocess.run([args.retort, *command, "-o", str(path)], check=True, capture_output=True)
    return path


def evaluate(args, work, name, data):
    if name == "reference":
        out = subprocess.run([args.reference, "-c", REFERENCE, str(args.checkpoint), str(data)], check=True, capture_output=True, text=True)
        return {"spearman": float(out.stdout.split()[-1]), "bytes": 0}
    path = make(args, work, name)
    out = subprocess.run([args.retort, "eval", str(path), "--data", str(data), "--json"], check=True, capture_output=True, text=True)
    return {"spearman": json.loads(out.stdout.strip().splitlines()[-1])["value"], "bytes": path.stat().st_size}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--prefix", default="query: ")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--reference")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--write")
    args = parser.parse_args()
    rows = [("reference", "sentence-transformers, float32")] if args.reference else []
    rows += [("f32", "float32"), ("int8", "int8"), ("ptq+owq", "ptq+owq"),
             ("ptq+owq:2", "ptq+owq, word table of 2 bits"), ("f32-koen", "float32, Korean and English"),
             ("ptq+owq-koen", "ptq+owq, Korean and English"),
             ("ptq+owq:2-koen", "ptq+owq, word table of 2 bits, Korean and English")]
    known = kept.Kept(args.keep)
    lines = [f"Command: `bench/multilingual.py CHECKPOINT SHARED --retort BINARY --samples {args.samples}`", "", f"CPU: {cpu()}", "",
             "| model | file, MB | Spearman on stsb | on korsts |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prepare(args, work)
        for name, title in rows:
            for data in SETS:
                if not known.find(name=name, data=data):
                    known.add(evaluate(args, work, name, work / f"{data}.tsv"), name=name, data=data)
            found = [known.find(name=name, data=data)[0] for data in SETS]
            size = f"{found[0]['bytes'] / 1e6:.1f}" if found[0]["bytes"] else "–"
            lines.append(f"| {title} | {size} | " + " | ".join(f"{r['spearman']:.6f}" for r in found) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.write:
        write_block(args.write, "multilingual", text)


if __name__ == "__main__":
    main()
