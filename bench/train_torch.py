#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: train_torch.py CHECKPOINT --data F [--dev F] [--test F] [--epochs N] [--rate R] [--seed S] [--threads T] [--bf16]

The fine-tuning of `retort train` in PyTorch, to compare with: AdamW, linear warm-up and decay, clipped gradients, no
dropout, padded batches of texts of similar length. Prints one JSON line: accuracy on each set after the last epoch, the
mean loss of the last epoch, and tokens per second of the training steps. Needs torch and transformers."""
import argparse
import json
import random
import time

import torch
import transformers


def read(path):
    with open(path, encoding="utf-8") as file:
        head = file.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [row[head.index("sentence")] for row in rows], [row[head.index("label")] for row in rows]


def batches(lengths, size, rng):
    """Shuffled, in windows of 50 batches sorted by length, whose batches are shuffled again."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    found = []
    for start in range(0, len(order), 50 * size):
        window = sorted(order[start:start + 50 * size], key=lambda i: lengths[i])
        found += [window[i:i + size] for i in range(0, len(window), size)]
    rng.shuffle(found)
    return found


def padded(ids, which):
    longest = max(len(ids[i]) for i in which)
    rows = torch.zeros(len(which), longest, dtype=torch.long)
    mask = torch.zeros(len(which), longest, dtype=torch.long)
    for row, i in enumerate(which):
        rows[row, :len(ids[i])] = torch.tensor(ids[i])
        mask[row, :len(ids[i])] = 1
    return rows, mask


def accuracy(model, ids, labels):
    model.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    right = 0
    with torch.no_grad():
        for start in range(0, len(order), 64):
            which = order[start:start + 64]
            rows, mask = padded(ids, which)
            best = model(input_ids=rows, attention_mask=mask).logits.argmax(-1)
            right += sum(int(best[i]) == labels[j] for i, j in enumerate(which))
    return right / len(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--dev")
    parser.add_argument("--test")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
    sets = {name: read(path) for name, path in (("train", args.data), ("dev", args.dev), ("test", args.test)) if path}
    names = sorted(set(sets["train"][1]))
    encoded = {name: (tokenizer(texts, truncation=True, max_length=args.max_length, padding=False)["input_ids"],
                      [names.index(label) for label in labels]) for name, (texts, labels) in sets.items()}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        args.checkpoint, num_labels=len(names), hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        problem_type="single_label_classification")
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0}],
                                  lr=args.rate, fused=True)
    ids, labels = encoded["train"]
    per_epoch = -(-len(ids) // args.batch)
    steps = args.steps or per_epoch * args.epochs
    warm = max(1, round(0.06 * steps))
    plan = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warm if s < warm else max(0.0, (steps - s) / max(1, steps - warm)))
    step, tokens, spent, losses = 0, 0, 0.0, []
    while step < steps:
        model.train()
        losses = []
        for which in batches([len(i) for i in ids], args.batch, rng):
            begin = time.perf_counter()
            rows, mask = padded(ids, which)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
                loss = model(input_ids=rows, attention_mask=mask, labels=torch.tensor([labels[i] for i in which])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            plan.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            spent += time.perf_counter() - begin
            tokens += sum(len(ids[i]) for i in which)
            step += 1
            if step == steps:
                break
    result = {"checkpoint": args.checkpoint, "rate": args.rate, "seed": args.seed, "steps": steps,
              "loss": sum(losses) / len(losses), "tokens_per_second": tokens / spent, "threads": args.threads,
              "bf16": args.bf16}
    result.update({name: accuracy(model, *encoded[name]) for name in ("dev", "test") if name in encoded})
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
