#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: bench/cascades.py SHARED WORK --retort BINARY --library LIBRETORT.SO [--models NAME,NAME] [--epsilon SHARE] [--write PAGE]

Cascades of the models that bench/tuning.py has tuned in WORK: a linear stage, and the fastest pruned model of 8 bits, before dense
int8. Texts that nothing was trained on calibrate them. Dense int8 and the cascade take turns: batches of 32, and text by text through the
C library. --write: puts the table into PAGE, between its marks."""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from blocks import write_block
from peers import cpu

# name: texts that train the linear stage, that calibrate, and to report about (None: a part of those that calibrate)
DATA = {"sst2": ("train.tsv", "dev.tsv", "test.tsv"), "banking77": ("train.tsv", "test.tsv", None), "nsmc": ("train.tsv", "dev.tsv", "test.tsv")}
MOST_TEXTS = 3000  # of a pass
ROUNDS = 3


def call(*words):
    out = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def student_of(folder):
    """The fastest 8 bits of a pruned shape that was distilled."""
    trials = json.loads((folder / "tune.json").read_text(encoding="utf-8"))["trials"]
    fits = [t for t in trials if t["status"] == "done" and t["form"] == "int8" and t["rung"] > 0]
    return max(fits, key=lambda trial: trial["speed"]["ratio"])["name"]


def first_texts(path, work, name):
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:MOST_TEXTS + 1]
    part = work / f"{name}-first.tsv"
    part.write_text("".join(lines), encoding="utf-8")
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return part, [row["sentence"] for row in rows]


def text_by_text(models, texts):
    """Milliseconds of each text, of each model; the models take turns."""
    times = {name: [] for name in models}
    for name, model in models.items():
        model.classify(texts[:50])
    for _ in range(ROUNDS):
        for name, model in models.items():
            for text in texts:
                start = time.perf_counter()
                model.classify(text)
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def measure(options, work, name):
    import retort_cpu
    source, folder = pathlib.Path(options.shared) / "data" / name, work / name
    train, calibrates, report = DATA[name]
    dense, student, cascade = folder / "models/dense-int8.retort", student_of(folder), work / f"{name}-cascade.retort"
    test = ["--test", source / report] if report else []
    made = call(options.retort, "cascade", dense, "--linear", "--linear-data", source / train, "--stage", folder / f"models/{student}.retort",
                "--data", source / calibrates, *test, "--epsilon", options.epsilon, "-o", cascade, "--json")[-1]
    part, texts = first_texts(source / (report or calibrates), work, name)
    files = {"dense int8": dense, "cascade": cascade}
    rates = {key: [] for key in files}
    for _ in range(ROUNDS):
        rows = call(options.retort, "bench", *files.values(), "--data", part, "--batch", "32", "--seconds", "0.5", "--json")
        for key, row in zip(files, rows):
            rates[key].append(row["texts_per_s"])
    times = text_by_text({key: retort_cpu.Model(path) for key, path in files.items()}, texts)
    scores = {key: call(options.retort, "eval", path, "--data", part, "--json")[-1] for key, path in files.items()}
    return made, rates, times, scores, len(texts)


def lines_of(options, name, found):
    made, rates, times, scores, count = found
    speed = {key: statistics.median(row) for key, row in rates.items()}
    ratios = [b / a for a, b in zip(rates["dense int8"], rates["cascade"])]
    p = {key: statistics.quantiles(row, n=100) for key, row in times.items()}
    shares = ", ".join(f"{stage['kind']} {100 * stage['tested_share']:.0f} %" for stage in made["stages"])
    return [f"| **{name}**, {count} texts; stages: {shares} | **dense int8** | **cascade** |",
            f"| texts/s, batches of 32 | {speed['dense int8']:.0f} | {speed['cascade']:.0f} ({statistics.median(ratios):.1f}x; "
            f"{min(ratios):.1f} to {max(ratios):.1f}) |",
            f"| p50, one text | {p['dense int8'][49]:.2f} ms | {p['cascade'][49]:.3f} ms |",
            f"| p99, one text | {p['dense int8'][98]:.2f} ms | {p['cascade'][98]:.2f} ms |",
            f"| accuracy | {scores['dense int8']['value']:.4f} | {scores['cascade']['value']:.4f} |",
            f"| answers as the full model, {made['tested']} texts | | {100 * made['agreement']:.2f} % ({100 * made['agreement_low']:.2f} "
            f"to {100 * made['agreement_high']:.2f}) |"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--models", default="sst2,banking77,nsmc")
    parser.add_argument("--epsilon", default="1%")
    parser.add_argument("--write")
    options = parser.parse_args()
    os.environ["RETORT_CPU_LIBRARY"] = str(pathlib.Path(options.library).resolve())
    sys.path.insert(0, os.environ["RETORT_CPU_LIBRARY"].rpartition("/")[0] + "/python")
    lines = ["| | | |", "|---|---|---|"]
    for name in options.models.split(","):
        lines += lines_of(options, name, measure(options, options.work, name))
    text = "\n".join([f"Command: `bench/cascades.py SHARED WORK --retort BINARY --library LIBRETORT.SO --epsilon {options.epsilon}`", "",
                      f"CPU: {cpu()}; {os.cpu_count()} threads. Speeds: medians of {ROUNDS} rounds in turn (ratios: least to most).", "", *lines, ""])
    if options.write:
        write_block(options.write, "cascades", text)
    print(text, end="")


if __name__ == "__main__":
    main()
