#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Imports every export that make.py wrote and counts, by architecture and kind, what retort reads and why it refuses.

usage: check.py RETORT FOLDER [--only NAME]

Prints a line per refusal and a table; needs nothing but RETORT. Logits are not compared here.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile


def imported(retort, folder, package):
    """Whether the export is read; if not, the last line of what retort says."""
    run = subprocess.run([retort, "import", str(folder / "model.onnx"), "-o", str(package)], capture_output=True, text=True,
                         timeout=60, check=False)
    lines = run.stderr.strip().splitlines()
    return run.returncode == 0, lines[-1] if lines else f"exit status {run.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("retort")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="", help="exports whose name has this in it")
    options = parser.parse_args()
    exports = sorted(path.parent for path in options.folder.glob("*/export.json") if options.only in path.parent.name)
    if not exports:
        sys.exit(f"{options.folder}: no exports; make.py writes them")
    read, all_of = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in exports:
            key = folder.name.split("-")[0], json.loads((folder / "export.json").read_text())["kind"]
            fine, why = imported(options.retort, folder, pathlib.Path(scratch) / "model.retort")
            all_of[key] += 1
            read[key] += fine
            if not fine:
                print(f"{folder.name}: {why}")
    for key in sorted(all_of):
        print(f"{key[0]:<12} {key[1]:<24} {read[key]:>3} of {all_of[key]}")
    print(f"{sum(read.values())} of {len(exports)} exports are read")


if __name__ == "__main__":
    main()
