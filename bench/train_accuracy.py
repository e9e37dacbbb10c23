#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: train_accuracy.py SHARED --retort BINARY [--models sst2,banking77,wikiann] [--bits 8,4,3,2] [--seeds 0]
                            [--epochs N] [--threads N] [--keep F.jsonl] [--write docs/accuracy.md]

What quantisation-aware training gains: each trained checkpoint of SHARED/models at each number of bits, rounded to
nearest (PTQ), by the best recipe without training, and trained with the float model as its teacher (QAT). Metric on the test file, mean
KL of the logits and agreement with the float model, megabytes. Training and calibration read the train file alone. QAT
rows give the mean over the seeds and, where there are several, the least and the greatest value.
Only the standard library is needed."""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

from kept import Kept
from peers import cpu, write_block

DATA = {"sst2": ("sst2/train.tsv", "sst2/test.tsv"), "banking77": ("banking77/train.tsv", "banking77/test.tsv"),
        "wikiann": ("wikiann/train.conll", "wikiann/test.conll")}

BEST_S8 = "smoothquant+gptq"  # without training


def run(command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def measure(args, model, test, reference):
    result = json.loads(run([args.retort, "eval", model, "--data", test, "--reference", reference, "--threads", args.threads, "--json"]))
    return {**{k: result[k] for k in ("value", "kl", "agreement")}, "mb": model.stat().st_size / 1e6}


def measure_float(args, runs, name, reference, test):
    if not runs.find(model=name, bits=32):
        runs.add(measure(args, reference, test, reference), model=name, bits=32, method="float", seed=None)


def measure_rounded(args, runs, name, bits, reference, train, test, work):
    """To nearest, and by the best recipe without training: below 8 bits, training starts from it."""
    best = BEST_S8 if bits == 8 else args.recipe
    for method, recipe in [("PTQ", "int8" if bits == 8 else "int4"), (best, best)]:
        if runs.find(model=name, bits=bits, method=method):
            continue
        small = work / "small.retort"
        data = ["--data", train] if recipe == best else []
        run([args.retort, "quantize", reference, "--recipe", recipe, "--bits", bits, *data, "-o", small])
        runs.add(measure(args, small, test, reference), model=name, bits=bits, method=method, seed=None)


def measure_trained(args, runs, name, bits, reference, train, test, work):
    for seed in args.seeds.split(","):
        if runs.find(model=name, bits=bits, method="QAT", seed=seed):
            continue
        small = work / "small.retort"
        begin = time.monotonic()
        run([args.retort, "train", reference, "--data", train, "--teacher", reference, "--bits", bits, "--threads", args.threads,
             "--recipe", "int8" if bits == 8 else args.recipe, *(["--epochs", args.epochs] if args.epochs else []), "--seed", seed,
             "-o", small])
        seconds = time.monotonic() - begin
        runs.add({**measure(args, small, test, reference), "seconds": seconds}, model=name, bits=bits, method="QAT", seed=seed)


def spread(values, form):
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({format(min(values), form)}…{format(max(values), form)})"


def row(results):
    first = results[0]
    seconds = [r["seconds"] for r in results if "seconds" in r]
    return (f"| {first['model']} | {first['bits']} | {first['method']} | {spread([r['value'] for r in results], '.4f')} | "
            f"{spread([r['kl'] for r in results], '.2e')} | {spread([r['agreement'] for r in results], '.4f')} | "
            f"{first['mb']:.2f} | {format(sum(seconds) / len(seconds), '.0f') if seconds else '–'} |")


def table(args, runs):
    lines = [f"Command: `bench/train_accuracy.py SHARED --retort BINARY --models {args.models} --bits {args.bits} "
             f"--seeds {args.seeds}`" + (f", {args.epochs} epochs" if args.epochs else ""),
             "", f"CPU: {cpu()}", "", "| model | bits | method | metric | mean KL | agreement | MB | training, s |",
             "|---|---|---|---|---|---|---|---|"]
    for name in args.models.split(","):
        for bits in [32, *map(int, args.bits.split(","))]:
            for method in ("float", "PTQ", BEST_S8, args.recipe, "QAT"):
                found = runs.find(model=name, bits=bits, method=method)
                if found:
                    lines.append(row(found))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--models", default="sst2,banking77,wikiann")
    parser.add_argument("--bits", default="8,4,3,2")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--recipe", default="ptq+owq", help="where the training of less than 8 bits starts")
    parser.add_argument("--epochs", help="instead of the default steps")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--write")
    args = parser.parse_args()
    runs = Kept(args.keep)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in args.models.split(","):
            train, test = (args.shared / "data" / path for path in DATA[name])
            reference = work / "float.retort"
            run([args.retort, "import", args.shared / "models" / name, "-o", reference])
            measure_float(args, runs, name, reference, test)
            for bits in map(int, args.bits.split(",")):
                measure_rounded(args, runs, name, bits, reference, train, test, work)
                measure_trained(args, runs, name, bits, reference, train, test, work)
    lines = table(args, runs)
    print("\n".join(lines))
    if args.write:
        write_block(args.write, "trained", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
