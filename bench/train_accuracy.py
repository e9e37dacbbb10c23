#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: train_accuracy.py SHARED --retort BINARY [--models sst2,banking77,wikiann] [--bits 8,4,3,2] [--seeds 0]
                            [--epochs BITS=N,…] [--write docs/accuracy.md]

What quantisation-aware training gains: each trained checkpoint of SHARED/models at each number of bits, rounded to
nearest (PTQ), by ptq+owq, and trained from there with the float model as its teacher (QAT). Metric on the test file, mean
KL of the logits and agreement with the float model, megabytes. Training and calibration read the train file alone. QAT
rows give the mean over the seeds and, where there are several, the least and the greatest value.
Only the standard library is needed."""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

from peers import cpu, write_block

DATA = {"sst2": ("sst2/train.tsv", "sst2/test.tsv"), "banking77": ("banking77/train.tsv", "banking77/test.tsv"),
        "wikiann": ("wikiann/train.conll", "wikiann/test.conll")}


def run(command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def measure(args, model, test, reference):
    result = json.loads(run([args.retort, "eval", model, "--data", test, "--reference", reference, "--json"]))
    result["mb"] = model.stat().st_size / 1e6
    return result


def spread(values, form):
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({format(min(values), form)}…{format(max(values), form)})"


def row(name, bits, method, results, seconds):
    agreement = [r["agreement"] for r in results]
    return (f"| {name} | {bits} | {method} | {spread([r['value'] for r in results], '.4f')} | "
            f"{spread([r['kl'] for r in results], '.2e')} | {spread(agreement, '.4f')} | {results[0]['mb']:.1f} | "
            f"{'–' if seconds is None else format(seconds, '.0f')} |")


def trained(args, epochs, source, train, bits, work):
    """One model per seed, and the seconds of the last training."""
    models, seconds = [], 0.0
    for seed in args.seeds.split(","):
        out = work / f"qat{seed}.retort"
        begin = time.monotonic()
        run([args.retort, "train", source, "--data", train, "--teacher", source, "--recipe", args.recipe, "--bits", bits,
             *(["--epochs", epochs[bits]] if bits in epochs else []), "--seed", seed, "-o", out])
        seconds = time.monotonic() - begin
        models.append(out)
    return models, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--models", default="sst2,banking77,wikiann")
    parser.add_argument("--bits", default="8,4,3,2")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--recipe", default="ptq+owq", help="where the training of less than 8 bits starts")
    parser.add_argument("--epochs", default="")
    parser.add_argument("--write")
    args = parser.parse_args()
    epochs = {int(k): float(v) for k, v in (pair.split("=") for pair in args.epochs.split(",") if pair)}
    lines = [f"Command: `bench/train_accuracy.py SHARED --retort BINARY --models {args.models} --bits {args.bits} "
             f"--seeds {args.seeds}`" + (f", epochs {args.epochs}" if args.epochs else ""),
             "", f"CPU: {cpu()}", "", "| model | bits | method | metric | mean KL | agreement | MB | training, s |",
             "|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in args.models.split(","):
            train, test = (args.shared / "data" / path for path in DATA[name])
            reference = work / "float.retort"
            run([args.retort, "import", args.shared / "models" / name, "-o", reference])
            result = measure(args, reference, test, reference)
            lines.append(f"| {name} | 32 | float | {result['value']:.4f} | 0 | 1 | {result['mb']:.1f} | – |")
            print(lines[-1], flush=True)
            for bits in map(int, args.bits.split(",")):
                nearest, best = ("int8", "int8") if bits == 8 else ("int4", args.recipe)
                for method, recipe in (("PTQ", nearest), (args.recipe, best))[:1 if bits == 8 else 2]:
                    small = work / "small.retort"
                    data = ["--data", train] if recipe == args.recipe else []
                    run([args.retort, "quantize", reference, "--recipe", recipe, "--bits", bits, *data, "-o", small])
                    lines.append(row(name, bits, method, [measure(args, small, test, reference)], None))
                    print(lines[-1], flush=True)
                recipe, args.recipe = args.recipe, best
                models, seconds = trained(args, epochs, reference, train, bits, work)
                args.recipe = recipe
                lines.append(row(name, bits, "QAT", [measure(args, m, test, reference) for m in models], seconds))
                print(lines[-1], flush=True)
    if args.write:
        write_block(args.write, "trained", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
