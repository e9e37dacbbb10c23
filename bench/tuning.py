#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: bench/tuning.py SHARED WORK --retort BINARY [--models NAME,NAME] [--floor POINTS] [--budget TIME] [--write PAGE]

Tunes the trained models of SHARED/models: `retort tune` on their training texts, rows that they have not seen select, and others
stay sealed. WORK keeps the rows and the folders of the tunings; what is done there is not repeated. A model that SHARED lacks
must lie in WORK as NAME.retort: docs/tune.md says how nsmc's is trained. --write: puts the table into PAGE, between its marks."""
import argparse
import json
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from blocks import write_block

# name: training rows, the others, rows of those that select, whether they are shuffled first, the sealed rows (None: the others' rest)
DATA = {"sst2": ("train.tsv", "dev.tsv", 1700, False, None), "banking77": ("train.tsv", "test.tsv", 800, True, None),
        "wikiann": ("train.conll", "test.conll", 1000, True, None), "nsmc": ("train.tsv", "dev.tsv", 1500, False, "test.tsv")}


def split(source, work, name):
    """The rows that select and the sealed ones: files of WORK."""
    _, others, count, shuffled, rest = DATA[name]
    suffix = pathlib.Path(others).suffix
    text = (source / others).read_text(encoding="utf-8").strip("\n")
    rows = text.split("\n\n" if suffix == ".conll" else "\n")
    head = [] if suffix == ".conll" else [rows.pop(0)]
    if shuffled:
        random.Random(1).shuffle(rows)
    files = []
    for part, of_it in (("select", rows[:count]), ("sealed", rows[count:])):
        files.append(work / f"{name}-{part}{suffix}")
        files[-1].write_text(("\n\n" if suffix == ".conll" else "\n").join(head + of_it) + "\n", encoding="utf-8")
    if rest is not None:
        files[-1] = source / rest
    return files


def tune(options, work, name):
    source = pathlib.Path(options.shared) / "data" / name
    model, folder = work / f"{name}.retort", work / name
    if not (folder / "report.html").exists():
        select, sealed = split(source, work, name)
        if not model.exists():
            subprocess.run([options.retort, "import", pathlib.Path(options.shared) / "models" / name, "-o", model], check=True)
        done = subprocess.run([options.retort, "tune", model, "--data", source / DATA[name][0], "--dev", select, "--test", sealed,
                               "--floor", options.floor, "--budget", options.budget, "-o", folder], check=False)
        if done.returncode not in (0, 4):
            sys.exit(done.returncode)
    return json.loads((folder / "tune.json").read_text(encoding="utf-8"))


def rows_of(name, state):
    """A line for each claim, the fastest first: times of dense int8 with the lowest and highest of three runs."""
    trials = {trial["name"]: trial for trial in state["trials"]}
    dense = trials["dense-int8"]["speed"]["ratio"]
    lines = []
    for claim in sorted(state["claims"], key=lambda claim: -trials[claim["trial"]]["speed"]["ratio"]):
        trial = trials[claim["trial"]]
        speed = trial["speed"]
        spread = f" ({speed['low'] / dense:.1f} to {speed['high'] / dense:.1f})" if speed["low"] else ""
        lines.append(f"| {name} | {trial['name']} | {trial['bytes'] / 1e6:.1f} ({state['input_bytes'] / trial['bytes']:.1f}x) | "
                     f"{speed['texts_per_s']:.0f} | {speed['ratio'] / dense:.1f}x{spread} | {100 * claim['difference']:+.2f} "
                     f"({100 * claim['low']:+.2f} to {100 * claim['high']:+.2f}) | {100 * claim['bound']:+.2f} | "
                     f"{'yes' if claim['proven'] else 'no'} |")
    return lines


def summary(name, state):
    split_, metric = state["split"], state["metric"]
    return (f"{name}: {metric} {state['sealed_value']:.4f} of the float model on {split_['sealed_rows']} sealed rows, "
            f"{split_['select_rows']} select, {split_['train_rows']} train; {len([t for t in state['trials'] if t['status'] == 'done'])} models tried "
            f"in {state['spent'] / 60:.0f} minutes; the test was opened {'once' if state['openings'] == 1 else str(state['openings']) + ' times'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared")
    parser.add_argument("work")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--models", default="sst2,banking77,wikiann")
    parser.add_argument("--floor", default="1")
    parser.add_argument("--budget", default="20m")
    parser.add_argument("--write")
    options = parser.parse_args()
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    states = {name: tune(options, work, name) for name in options.models.split(",")}
    machine = next(iter(states.values()))["machine"]
    lines = ["| data | model | MB (times smaller) | texts/s | of dense int8 | points (95 %) | at least | proven |", "|---|---|---|---|---|---|---|---|"]
    for name, state in states.items():
        lines += rows_of(name, state)
    budgets = sorted({f"{state['settings']['budget'] / 60:.0f}m" for state in states.values()})
    text = "\n".join([f"Command: `bench/tuning.py SHARED WORK --retort BINARY --floor {options.floor} --budget {' or '.join(budgets)}`", "",
                      f"CPU: {machine['cpu']}; {machine['isa']}, {machine['threads']} threads", "", *lines, "",
                      *[f"- {summary(name, state)}." for name, state in states.items()], ""])
    if options.write:
        write_block(options.write, "tuning", text)
    print(text, end="")


if __name__ == "__main__":
    main()
