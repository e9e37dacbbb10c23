#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: train_torch.py CHECKPOINT --data F [--dev F] [--test F] [--epochs N] [--rate R] [--seed S] [--threads T] [--bf16]
                      [--layers 0,2,5] [--teacher CHECKPOINT]

The training of `retort train` in PyTorch, to compare with: AdamW, linear warm-up and decay, clipped gradients, no
dropout, padded batches of texts of similar length. TSV files (sentence, label) make a classifier, .conll files (a word and its
tag per line, after each sentence an empty one) a tagger. --layers keeps some layers; --teacher distils: KL divergence at a temperature of 2,
times 4, plus the mean squared error of the last hidden states. Prints one JSON line: accuracy, or F1 of entities, on each
set after the last epoch, the mean loss of the last epoch, and tokens per second of the training steps. Needs torch and
transformers."""
import argparse
import json
import pathlib
import random
import time

import torch
import transformers

IGNORED = -100  # the label of pieces that are not the first of a word, as in torch.nn.functional.cross_entropy


def read_texts(path):
    with open(path, encoding="utf-8") as file:
        head = file.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [row[head.index("sentence")] for row in rows], [row[head.index("label")] for row in rows]


def read_words(path):
    sentences = [block.split("\n") for block in pathlib.Path(path).read_text(encoding="utf-8").strip().split("\n\n")]
    rows = [[line.rsplit(None, 1) for line in sentence] for sentence in sentences]
    return [[word for word, _ in row] for row in rows], [[tag for _, tag in row] for row in rows]


class Classifier:
    auto = transformers.AutoModelForSequenceClassification
    read = staticmethod(read_texts)

    @staticmethod
    def names(labels):
        return sorted(set(labels))

    @staticmethod
    def encode(tokenizer, names, texts, labels, max_length):
        ids = tokenizer(texts, truncation=True, max_length=max_length, padding=False)["input_ids"]
        return ids, [names.index(label) if label in names else int(label) for label in labels]

    @staticmethod
    def targets(labels, width):
        return torch.tensor(labels)

    @staticmethod
    def metric(names, found, labels):
        return sum(a == b for a, b in zip(found, labels)) / len(labels)


class Tagger:
    auto = transformers.AutoModelForTokenClassification
    read = staticmethod(read_words)

    @staticmethod
    def names(labels):
        return sorted({tag for row in labels for tag in row})

    @staticmethod
    def encode(tokenizer, names, texts, labels, max_length):
        encoded = tokenizer(texts, truncation=True, max_length=max_length, padding=False, is_split_into_words=True)
        tags = []
        for i, row in enumerate(labels):
            words = encoded.word_ids(i)
            tags.append([names.index(row[w]) if w is not None and (p == 0 or words[p - 1] != w) else IGNORED
                         for p, w in enumerate(words)])
        return encoded["input_ids"], tags

    @staticmethod
    def targets(labels, width):
        return torch.tensor([row + [IGNORED] * (width - len(row)) for row in labels])

    @staticmethod
    def metric(names, found, labels):
        """F1 of whole entities; an I- after another type opens one, as seqeval counts."""
        def entities(row):
            spans, start, kind = set(), 0, None
            for i, tag in enumerate(row + ["O"]):
                prefix, _, name = tag.partition("-")
                if kind is not None and (prefix != "I" or name != kind):
                    spans.add((start, i, kind))
                    kind = None
                if prefix in "BI" and (prefix == "B" or kind is None):
                    start, kind = i, name
            return spans
        right = claimed = true = 0
        for a, b in zip(found, labels):
            rows = [(names[x], names[y]) for x, y in zip(a, b) if y != IGNORED]
            mine, gold = entities([x for x, _ in rows]), entities([y for _, y in rows])
            right, claimed, true = right + len(mine & gold), claimed + len(mine), true + len(gold)
        return 2 * right / max(1, claimed + true)


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


def evaluate(task, model, names, ids, labels):
    model.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found = [None] * len(ids)
    with torch.no_grad():
        for start in range(0, len(order), 64):
            which = order[start:start + 64]
            rows, mask = padded(ids, which)
            best = model(input_ids=rows, attention_mask=mask).logits.argmax(-1).tolist()
            for i, row in zip(which, best):
                found[i] = row[:len(ids[i])] if isinstance(row, list) else row
    return task.metric(names, found, labels)


def open_model(args, task, names):
    model = task.auto.from_pretrained(args.checkpoint, num_labels=len(names), dtype=torch.float32)
    if args.layers:
        encoder = model.base_model
        stack = encoder.transformer if hasattr(encoder, "transformer") else encoder.encoder
        stack.layer = torch.nn.ModuleList(stack.layer[int(i)] for i in args.layers.split(","))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    return model


def distilled(student, teacher, mask, temperature=2.0):
    soft = [torch.log_softmax(out.logits / temperature, -1) for out in (student, teacher)]
    loss = torch.nn.functional.kl_div(soft[0], soft[1], log_target=True, reduction="batchmean") * temperature ** 2
    states = [out.hidden_states[-1][mask.bool()] for out in (student, teacher)]
    return loss + torch.nn.functional.mse_loss(*states)


def loss_of(args, task, model, teacher, ids, labels, which):
    rows, mask = padded(ids, which)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
        if not teacher:
            targets = task.targets([labels[i] for i in which], rows.shape[1])
            return model(input_ids=rows, attention_mask=mask, labels=targets).loss
        with torch.no_grad():
            known = teacher(input_ids=rows, attention_mask=mask, output_hidden_states=True)
        return distilled(model(input_ids=rows, attention_mask=mask, output_hidden_states=True), known, mask)


def train(args, task, model, teacher, ids, labels, rng):
    """Steps, mean loss of the last epoch, tokens per second."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0}],
                                  lr=args.rate, fused=True)
    steps = args.steps or -(-len(ids) // args.batch) * args.epochs
    warm = max(1, round(0.06 * steps))
    plan = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warm if s < warm else max(0.0, (steps - s) / max(1, steps - warm)))
    step, tokens, spent, losses = 0, 0, 0.0, []
    while step < steps:
        model.train()
        losses = []
        for which in batches([len(i) for i in ids], args.batch, rng):
            begin = time.perf_counter()
            loss = loss_of(args, task, model, teacher, ids, labels, which)
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
    return steps, sum(losses) / len(losses), tokens / spent


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
    parser.add_argument("--layers", default="")
    parser.add_argument("--teacher", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    task = Tagger if args.data.endswith(".conll") else Classifier
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
    sets = {name: task.read(path) for name, path in (("train", args.data), ("dev", args.dev), ("test", args.test)) if path}
    teacher = task.auto.from_pretrained(args.teacher, dtype=torch.float32).eval() if args.teacher else None
    names = list(teacher.config.id2label.values()) if teacher else task.names(sets["train"][1])
    encoded = {name: task.encode(tokenizer, names, *rows, args.max_length) for name, rows in sets.items()}
    model = open_model(args, task, names)
    steps, loss, rate = train(args, task, model, teacher, *encoded["train"], random.Random(args.seed))
    result = {"checkpoint": args.checkpoint, "rate": args.rate, "seed": args.seed, "steps": steps, "loss": loss,
              "tokens_per_second": rate, "threads": args.threads, "bf16": args.bf16}
    result.update({name: evaluate(task, model, names, *encoded[name]) for name in ("dev", "test") if name in encoded})
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
