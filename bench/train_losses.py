#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a classifier in retort and in PyTorch on the same batches, and compares the loss of each step.

    python bench/train_losses.py BUILD CHECKPOINT DATA.tsv [--steps 200] [--rate 5e-5] [--batch 32] [--threads 2]

Needs torch, transformers 5. AdamW, linear decay after a warm-up of 6 %, no dropout, clip 1, decay 0.01 of matrices.
"""
import argparse
import math
import pathlib
import subprocess
import sys
import time

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from batch_order import shuffled  # noqa: E402

SEED = 7


def torch_losses(args):
    torch.set_num_threads(args.threads)
    with open(args.data, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(args.checkpoint, dtype=torch.float32).eval()
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.01},
              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(0.06 * args.steps), args.steps)
    per_epoch = (len(rows) + args.batch - 1) // args.batch
    losses, order, begun = [], None, time.time()
    for step in range(args.steps):
        epoch, at = divmod(step, per_epoch)
        if at == 0:
            order = shuffled(len(rows), SEED, epoch)
        which = order[at * args.batch:(at + 1) * args.batch]
        batch = tokenizer([rows[i][0] for i in which], padding=True, truncation=True, max_length=128, return_tensors="pt")
        loss = model(**batch, labels=torch.tensor([int(rows[i][1]) for i in which])).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    print(f"PyTorch: {time.time() - begun:.1f} s", file=sys.stderr)
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    words = [args.build + "/bench/train_losses", args.checkpoint, args.data, args.steps, args.rate, args.batch, SEED,
             args.threads]
    own = [float(line) for line in subprocess.run([str(w) for w in words], check=True, stdout=subprocess.PIPE, text=True).stdout.split()]
    theirs = torch_losses(args)
    differences = [abs(a - b) / b for a, b in zip(own, theirs)]
    worst = max(range(len(differences)), key=differences.__getitem__)
    means = [abs(sum(own[i:i + 10]) - sum(theirs[i:i + 10])) / sum(theirs[i:i + 10]) for i in range(0, args.steps, 10)]
    print(f"{len(own)} steps, loss {theirs[0]:.4f} to {theirs[-1]:.4f}: of a step at most {differences[worst]:.1e} apart "
          f"(step {worst + 1}: {own[worst]:.6f}, PyTorch {theirs[worst]:.6f}); of the mean of ten steps {max(means):.1e}")


if __name__ == "__main__":
    main()
