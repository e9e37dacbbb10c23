#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the speed and the memory of training steps with PyTorch's, in turns, and writes the table of docs/training.md.

usage: training.py BUILD DATA.tsv CHECKPOINT... [--rounds 3] [--threads 2] [--steps 24] [--peer-steps 14]
                   [--products float32|bf16] [--beside] [--results F.json] [--write docs/training.md]

For each checkpoint and for products of float32 and bfloat16: tokens per second of `BUILD/bench/train_bench` and of
`bench/train_peer.py` (fused AdamW), the median of the rounds; the peak resident memory of each process; and what is left of
the speed beside one busy loop, with --beside. --results keeps all runs in a file, and later calls add theirs: so that the table
can be measured in pieces. Needs torch and transformers."""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

import peers

HERE = pathlib.Path(__file__).resolve().parent
PRODUCTS = {"float32": "float32", "bf16": "bfloat16"}


def run(words):
    """The last line of JSON that a process prints, and its peak memory in MB."""
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in words)}: exit code {process.returncode}")
    return json.loads(lines[-1]), usage.ru_maxrss / 1000


def engines(args, checkpoint, dtype):
    steps = args.peer_steps
    return {"retort": [args.build / "bench/train_bench", checkpoint, args.data, args.threads, args.steps, dtype],
            "PyTorch": [sys.executable, HERE / "train_peer.py", checkpoint, args.data, "--steps", steps, "--threads",
                        args.threads, "--dtype", dtype, "--adamw", "fused", "--json"]}


def measure(args, checkpoint, dtype, found):
    """Adds what is measured of each engine: tokens per second of all rounds, peak memory, tokens per second beside a loop."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if args.beside else None
    try:
        for _ in range(args.rounds):
            for name, words in engines(args, checkpoint, dtype).items():
                row, memory = run(words)
                cell = found.setdefault(name, {"rates": [], "memory": 0, "beside": []})
                cell["beside" if args.beside else "rates"].append(row["tokens_per_second"])
                cell["memory"] = max(cell["memory"], memory)
    finally:
        if loop is not None:
            loop.kill()
            loop.wait()


def shape(checkpoint):
    config = json.loads((pathlib.Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    return f"{layers} x {config.get('hidden_size', config.get('dim'))}"


def speed(rates):
    return f"{statistics.median(rates):,.0f} ({' '.join(f'{rate:,.0f}' for rate in rates)})" if rates else ""


def markdown(args, results):
    lines = ["| shape | products | PyTorch | retort | times | beside a loop: PyTorch | retort | peak MB: PyTorch | retort |",
             "|---|---|---|---|---|---|---|---|---|"]
    for cell, found in results.items():
        own, peer = found["retort"], found["PyTorch"]
        rates = own["rates"] and peer["rates"]
        times = statistics.median(own["rates"]) / statistics.median(peer["rates"]) if rates else math.nan
        lines.append(f"| {cell} | {speed(peer['rates'])} | {speed(own['rates'])} | {times:.2f} | {speed(peer['beside'])} | "
                     f"{speed(own['beside'])} | {peer['memory']:,.0f} | {own['memory']:,.0f} |")
    return "\n".join(lines) + f"\n\nCPU: {peers.cpu()}; {args.threads} threads.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("data")
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--peer-steps", type=int, default=14)
    parser.add_argument("--products", choices=tuple(PRODUCTS))
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--write")
    args = parser.parse_args()
    kept = args.results is not None and args.results.exists()
    results = json.loads(args.results.read_text(encoding="utf-8")) if kept else {}
    for checkpoint in args.checkpoints:
        for dtype, words in PRODUCTS.items():
            if args.products in (None, dtype) and args.rounds > 0:
                measure(args, checkpoint, dtype, results.setdefault(f"{shape(checkpoint)} | {words}", {}))
                if args.results is not None:
                    args.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = markdown(args, results)
    print(text)
    if args.write:
        peers.write_block(args.write, "training", text)


if __name__ == "__main__":
    main()
