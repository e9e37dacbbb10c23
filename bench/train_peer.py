#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times a training step in PyTorch: forward, backward, AdamW, on real texts, in padded batches of similar lengths.

usage: train_peer.py CHECKPOINT DATA.tsv [--batch 32] [--steps 12] [--threads 2] [--dtype float32|bf16] [--adamw fused|foreach] [--json]

Batches are those of `train_bench`: the texts in file order, 32 batches at a time sorted by length. Of AdamW's forms (fused, foreach,
plain) the fastest counts. The first two steps are not counted; a figure is the median step's.
"""
import argparse
import csv
import json
import statistics
import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def batches(args, tokenizer):
    with open(args.data, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = rows[: args.batch * args.steps]
    encoded = sorted(zip(tokenizer([row["sentence"] for row in rows])["input_ids"], rows), key=lambda pair: len(pair[0]))
    order = torch.randperm(args.steps, generator=torch.Generator().manual_seed(1)).tolist()
    for i in order:
        part = encoded[i * args.batch:(i + 1) * args.batch]
        padded = tokenizer.pad({"input_ids": [ids for ids, _ in part]}, return_tensors="pt")
        yield padded, torch.tensor([int(row["label"]) for _, row in part]), sum(len(ids) for ids, _ in part)


def measure(args, how):
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(args.checkpoint, dtype=torch.float32).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, **how)
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    rates = []
    for inputs, labels, tokens in batches(args, tokenizer):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rates.append((tokens, time.perf_counter() - start))
    rates = rates[2:]
    return sum(t for t, _ in rates) / sum(s for _, s in rates), statistics.median(t / s for t, s in rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--adamw", choices=("fused", "foreach"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name, how in (("fused", {"fused": True}), ("foreach", {"foreach": True})):
        if args.adamw not in (None, name):
            continue
        rate, median = measure(args, how)
        row = {"engine": "pytorch " + torch.__version__, "dtype": args.dtype, "threads": args.threads, "adamw": name,
               "tokens_per_second": round(rate), "median": round(median)}
        print(json.dumps(row) if args.json else "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
