#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: fine_tuning.py SHARED CHECKPOINT --retort BINARY [--runs sst2,banking77,wikiann,sst2-3,banking77-3]
                      [--seeds 0,1,2] [--sides retort,pytorch] [--keep F.jsonl] [--threads N] [--write docs/accuracy.md]

Whether `retort train` reaches what PyTorch reaches: the same recipe, the same texts and several seeds on both sides
(train_torch.py). Runs without a number fine-tune CHECKPOINT, a plain encoder; those ending in -3 distil the checkpoint of
SHARED/models into its layers 0, 2 and 5. Nothing is chosen by the texts that are reported: the last epoch counts.
--keep notes each run when it is done and skips those it has. Needs a Python with torch and transformers."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from kept import Kept
from peers import cpu, write_block

HERE = pathlib.Path(__file__).parent
SETS = {"sst2": ("train.tsv", "dev.tsv", "test.tsv"), "banking77": ("train.tsv", None, "test.tsv"),
        "wikiann": ("train.conll", None, "test.conll")}
RECIPES = {"sst2": (1, "1e-4"), "banking77": (3, "3e-4"), "wikiann": (2, "1e-4"), "sst2-3": (1, "3e-4"),
           "banking77-3": (3, "3e-4")}
LAYERS = "0,2,5"


def recipe_of(args, run, seed):
    """Arguments that both sides have, the checkpoint first, and the files to be judged by."""
    name, _, student = run.partition("-")
    train, dev, test = (path and args.shared / "data" / name / path for path in SETS[name])
    epochs, rate = RECIPES[run]
    start = args.shared / "models" / name if student else args.checkpoint
    common = [start, "--data", train, "--epochs", epochs, "--rate", rate, "--seed", seed, "--threads", args.threads]
    return common, start if student else None, dev, test


def ours(args, run, seed, work):
    common, teacher, dev, test = recipe_of(args, run, seed)
    out = work / "trained.retort"
    command = [args.retort, "train", *common, "-o", out, "--json"]
    if teacher:
        teacher_file = work / "teacher.retort"
        call([args.retort, "import", teacher, "-o", teacher_file])
        command += ["--teacher", teacher_file, "--from-layers", LAYERS]
    call(command)
    found = {name: json.loads(call([args.retort, "eval", out, "--data", path, "--json"]))["value"]
             for name, path in (("dev", dev), ("test", test)) if path}
    return {**found, "mb": out.stat().st_size / 1e6}


def theirs(args, run, seed, work):
    common, teacher, dev, test = recipe_of(args, run, seed)
    command = [sys.executable, HERE / "train_torch.py", *common, "--test", test]
    command += ["--dev", dev] if dev else []
    command += ["--teacher", teacher, "--layers", LAYERS] if teacher else []
    result = json.loads(call(command).splitlines()[-1])
    return {name: result[name] for name in ("dev", "test") if name in result}


def call(command):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def cell(results, name):
    values = [r[name] for r in results if name in r]
    if not values:
        return "–"
    return f"{100 * sum(values) / len(values):.2f} ({' '.join(f'{100 * v:.2f}' for v in values)})"


def table(args, kept):
    lines = ["| data | recipe | trained by | dev, % | test, % |", "|---|---|---|---|---|"]
    for run in args.runs.split(","):
        epochs, rate = RECIPES[run]
        name, _, student = run.partition("-")
        what = f"layers {LAYERS} distilled, " if student else ""
        for side in args.sides.split(","):
            results = [r for seed in args.seeds.split(",") for r in kept.find(run=run, side=side, seed=int(seed))]
            if results:
                lines.append(f"| {name} | {what}{epochs} epoch{'s' * (epochs > 1)}, rate {rate} | "
                             f"{ {'retort': 'retort', 'pytorch': 'PyTorch'}[side]} | {cell(results, 'dev')} | "
                             f"{cell(results, 'test')} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--runs", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sides", default="retort,pytorch")
    parser.add_argument("--threads", default=2)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--write")
    args = parser.parse_args()
    kept = Kept(args.keep)
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, args.seeds.split(",")):
            for run in args.runs.split(","):
                for side in args.sides.split(","):
                    if not kept.find(run=run, side=side, seed=seed):
                        result = {"retort": ours, "pytorch": theirs}[side](args, run, seed, pathlib.Path(folder))
                        kept.add(result, run=run, side=side, seed=seed)
    lines = [f"Command: `bench/fine_tuning.py SHARED CHECKPOINT --retort BINARY --runs {args.runs} --seeds {args.seeds}`; "
             f"the mean, and each seed", "", f"CPU: {cpu()}", "", *table(args, kept)]
    print("\n".join(lines))
    if args.write:
        write_block(args.write, "fine-tuned", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
