#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes a checkpoint through the pipeline stages with `retort bench --stages`, several times, and writes their table, and
commonly quoted gains beside those of this machine, into docs/performance.md.

usage: stages.py CHECKPOINT --retort BINARY [--python P] [--data F.tsv] [--batch B] [--seq S] [--threads N] [--seconds T]
                 [--reps R] [--write docs/performance.md --name stages]

--python     a Python with torch and transformers, for PyTorch's row
--data       time its texts in batches of 32 (unless --seq), and add the accuracy of each stage
Only the standard library is needed. A figure is the median of the repetitions.
"""
import argparse
import json
import os
import statistics
import subprocess

from peers import cpu, write_block

# The claim, the quoted range, the rows of `retort bench --stages` that show it (before, after), and what is compared.
QUOTED = [
    ("ONNX graph optimisation, over PyTorch", "1.1–1.4", [(1, 4)], "ms_p50"),
    ("ONNX Runtime's graph levels, over the graph as exported", "", [(2, 4)], "ms_p50"),
    ("ONNX Runtime, over PyTorch", "1.1–1.7 more", [(1, 5)], "ms_p50"),
    ("ONNX Runtime: memory, of PyTorch", "less", [(1, 4)], "peak_mb"),
    ("OpenVINO, over ONNX Runtime", "1.2–1.5 more", [(4, 6), (4, 7)], "ms_p50"),
    ("INT8, over float of the same engine", "1.5–2.5", [(5, 8), (7, 9), (12, 13)], "ms_p50"),
    ("INT8: file", "3–4 times smaller", [(5, 8), (12, 13)], "file_bytes"),
    ("INT4 weights, over float of the same engine", "1.2–2.2", [(5, 10), (7, 11), (12, 14)], "ms_p50"),
    ("INT4: file", "4–8 times smaller", [(5, 10), (12, 14)], "file_bytes"),
    ("retort in float, INT8, INT4, over the best other", "", [(None, 12), (None, 13), (None, 14)], "ms_p50"),
]
PEERS = {12: (2, 3, 4, 5, 6, 7), 13: (8, 9), 14: (10, 11)}


def measure(args):
    """The rows by number, each figure the median of the repetitions."""
    more = [part for name in ("python", "data", "batch", "seq") if getattr(args, name)
            for part in (f"--{name}", str(getattr(args, name)))]
    command = [args.retort, "bench", args.checkpoint, "--stages", "--threads", str(args.threads), "--seconds", str(args.seconds),
               "--json", *more]
    runs = []
    for _ in range(args.reps):
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        runs.append({row["row"]: row for row in map(json.loads, out.splitlines())})
    rows = runs[0]
    for number, row in rows.items():
        for key in ("ms_p50", "ms_p90", "ms_p99", "load_ms", "peak_mb"):
            row[key] = statistics.median(run[number][key] for run in runs)
    return rows


def gain(rows, before, after, key):
    """How many times as small a figure is after; the same engine's for a file, the best other's without `before`."""
    others = PEERS[after] if before is None else (before,)
    others = [rows[n][key] for n in others if n in rows]
    return min(others) / rows[after][key] if others and after in rows else None


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(args, rows):
    first = next(iter(rows.values()))
    what = f"{first['batch']} x {first['seq']} tokens" if first["seq"] else f"all texts, batches of {first['batch']}"
    lines = [f"Command: `{' '.join(['bench/stages.py'] + args.shown)}`", "",
             f"CPU: {cpu()}; {args.threads} threads; {what}. Medians of {args.reps}.", "",
             "| | stage | engine | ms | gain | over | file, MB | peak, MB | load, ms | metric | KL |", "|" + "---|" * 11]
    for n, row in rows.items():
        over = row["gain_over"]
        kl = "–" if row["kl"] is None else f"{row['kl']:.1e}"
        lines.append(f"| {n} | {row['step']} | {row['provider']} {row['version']} | {row['ms_p50']:.2f} | "
                     f"{number(rows[over]['ms_p50'] / row['ms_p50'] if over else None)} | {over or '–'} | "
                     f"{row['file_bytes'] / 1e6:.1f} | {row['peak_mb']:.0f} | {row['load_ms']:.0f} | "
                     f"{number(row['value'], 4)} | {kl} |")
    lines += ["", "| claim | quoted | here |", "|---|---|---|"]
    for words, quoted, pairs, key in QUOTED:
        gains = [number(gain(rows, *pair, key)) for pair in pairs]
        lines.append(f"| {words} | {quoted or '–'} | {', '.join(gains)} |")
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--python")
    parser.add_argument("--data")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seq", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--write")
    parser.add_argument("--name", default="stages")
    args = parser.parse_args()
    args.shown = [part for name in ("batch", "seq", "threads") if getattr(args, name)
                  for part in (f"--{name}", str(getattr(args, name)))]
    args.shown = ["CHECKPOINT", "--retort BINARY"] + (["--data F"] if args.data else []) + \
                 (["--python P"] if args.python else []) + args.shown
    return args


def main():
    args = arguments()
    text = markdown(args, measure(args))
    if args.write:
        write_block(args.write, args.name, text)
    print(text, end="")


if __name__ == "__main__":
    main()
