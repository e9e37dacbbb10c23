#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: bench/pruning.py SHARED --retort BINARY [--models NAME,NAME] [--json FILE] [--write PAGE]

Prunes the trained models of SHARED/models to several sizes without training, and measures what their answers lose on the
test texts, which took no part. --json: appends a line a run, and does not repeat runs that it has. --write: puts the table
into PAGE, between its marks."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SETTINGS = [["--ffn", "50%", "--heads", "8"], ["--layers", "4"], ["--ffn", "35%", "--heads", "6"], ["--layers", "3"]]
FILES = {"sst2": ("train.tsv", "test.tsv"), "banking77": ("train.tsv", "test.tsv"), "wikiann": ("train.conll", "test.conll")}
BEGIN, END = "<!-- begin pruning -->", "<!-- end pruning -->"


def run(binary, *args):
    done = subprocess.run([binary, *map(str, args), "--json"], capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options, name, settings, work):
    data = pathlib.Path(options.shared) / "data" / name
    dense, pruned = work / f"{name}.retort", work / "pruned.retort"
    if not dense.exists():
        run(options.retort, "import", pathlib.Path(options.shared) / "models" / name, "-o", dense)
    made = run(options.retort, "prune", dense, "--data", data / FILES[name][0], "-o", pruned, *settings)
    result = run(options.retort, "eval", pruned, "--reference", dense, "--data", data / FILES[name][1])
    keys = ("metric", "value", "low", "high", "difference", "difference_low", "difference_high", "kl", "agreement")
    return {"model": name, "settings": " ".join(settings), "parameters": made["parameters"], "layers": made["layers"],
            "seconds": made["seconds"], **{key: result[key] for key in keys}}


def cpu(binary):
    machine = run(binary, "doctor")
    return f"{machine['cpu']}; {machine['isa']}"


def table(rows):
    lines = ["| model | what stays | matrices, million | metric | difference | mean KL | agreement | minutes |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        widths = sum(layer["heads"] for layer in row["layers"]) / len(row["layers"])
        lines.append(f"| {row['model']} | `{row['settings']}` ({len(row['layers'])} layers, {widths:.1f} heads) | {row['matrices'] / 1e6:.1f} | "
                     f"{row['metric']} {row['value']:.4f} | {100 * row['difference']:+.2f} ({100 * row['difference_low']:+.2f} to "
                     f"{100 * row['difference_high']:+.2f}) | {row['kl']:.2e} | {row['agreement']:.4f} | {row['seconds'] / 60:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--models", default="sst2,banking77,wikiann")
    parser.add_argument("--json")
    parser.add_argument("--write")
    options = parser.parse_args()
    rows = [json.loads(line) for line in open(options.json)] if options.json and os.path.exists(options.json) else []
    known = {(row["model"], row["settings"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for settings in SETTINGS:
            for name in options.models.split(","):
                if (name, " ".join(settings)) in known:
                    continue
                rows.append({**measure(options, name, settings, pathlib.Path(folder)), "cpu": cpu(options.retort)})
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    for row in rows:  # of 384 columns: four matrices of attention and two of the feed-forward network
        row["matrices"] = sum(384 * (4 * 32 * layer["heads"] + 2 * layer["ffn"]) for layer in row["layers"])
    rows.sort(key=lambda row: (list(FILES).index(row["model"]), -row["matrices"]))
    text = f"Command: `bench/pruning.py SHARED --retort BINARY`\n\nCPU: {rows[0]['cpu']}\n\n{table(rows)}"
    if options.write:
        page = pathlib.Path(options.write).read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        pathlib.Path(options.write).write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
