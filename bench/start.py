#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times whole processes, from execve to the answer on stdout, and reads what memory they took.

usage: start.py MODEL.retort… --retort BINARY [--tokens 16,128] [--threads N] [--reps R]
                [--write docs/performance.md --name start]

Each process classifies one text of that many tokens and ends. The page cache is warm. Private memory is RssAnon of
/proc/PID/status at its highest, sampled while `retort bench` runs the same shape, with weights unpacked to int8 where that is faster, and with --unpack never;
the rest of the resident memory (VmHWM) is the mapped file. The system maps a file faster that was written in large blocks:
save the models with the retort that is measured.
"""
import argparse
import os
import statistics
import subprocess
import time

from peers import cpu, write_block


def text_of(tokens):
    return " ".join(["film"] * (tokens - 2))  # one piece a word, [CLS] and [SEP] round them


def first_answer(args, model, tokens):
    start = time.perf_counter()
    subprocess.run([args.retort, "run", model, text_of(tokens), "--threads", str(args.threads), "--json"], check=True,
                   stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1e3


def memory(args, model, tokens, unpack):
    """Highest RssAnon + RssShmem, and highest resident memory in all, in MB, while the shape runs for a second."""
    command = [args.retort, "bench", model, "--batch", "1", "--seq", str(tokens), "--seconds", "1", "--threads",
               str(args.threads), "--unpack", unpack, "--json"]
    most = resident = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                    rows = dict(line.split(":", 1) for line in file)
                most = max(most, sum(int(rows[k].split()[0]) for k in ("RssAnon", "RssShmem")))
                resident = int(rows["VmHWM"].split()[0])
            except (OSError, KeyError):
                pass
            time.sleep(0.01)
    return most / 1e3, resident / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--tokens", default="16,128")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--reps", type=int, default=15)
    parser.add_argument("--write")
    parser.add_argument("--name", default="start")
    args = parser.parse_args()
    lines = [f"Command: `bench/start.py MODEL --retort BINARY --tokens {args.tokens} --threads {args.threads}`", "",
             f"CPU: {cpu()}. Milliseconds of the whole process, median of {args.reps} (min–max).", "",
             "| model | file, MB | tokens | first answer, ms | private memory, MB | with --unpack never | resident in all, MB |",
             "|---|---|---|---|---|---|---|"]
    for model in args.models:
        for tokens in map(int, args.tokens.split(",")):
            times = [first_answer(args, model, tokens) for _ in range(args.reps)]
            private, resident = memory(args, model, tokens, "auto")
            packed, _ = memory(args, model, tokens, "never")
            lines.append(f"| {os.path.basename(model)} | {os.path.getsize(model) / 1e6:.1f} | {tokens} | {statistics.median(times):.1f} "
                         f"({min(times):.1f}–{max(times):.1f}) | {private:.1f} | {packed:.1f} | {resident:.1f} |")
            print(lines[-1], flush=True)
    if args.write:
        write_block(args.write, args.name, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
