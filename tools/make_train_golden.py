#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/golden/training.tsv, texts with labels, and training.txt: the loss of each step when PyTorch trains
checkpoints of test/golden/checkpoints on them, with AdamW, without dropout.

    python tools/make_train_golden.py     needs torch, transformers 5

Batches are those of src/train/batches.c (batch_order.py).
"""
import math
import pathlib
import random

import torch
import transformers

from batch_order import shuffled

transformers.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parent.parent / "test/golden"
NAMES = ["distilbert-classify", "bert-classify", "electra-classify", "roberta-classify", "modernbert-classify",
         "nomic-classify", "mpnet-classify", "albert-classify", "deberta-classify", "eurobert-classify"]
BATCH, STEPS, SEED, RATE, WARMUP, DECAY, CLIP = 6, 50, 7, 2e-3, 0.06, 0.01, 1.0


def texts():
    """Words of which some are rare, so that their rows of the table rest for many steps; the label depends on words."""
    rng = random.Random(3)
    common = ["the", "film", "was", "very", "it", "play", "acting", "and", "this"]
    rare = ["x", "q", "42", "7", "zed", "ion", "by", "wolf", "ever", "cat"]
    rows = []
    for _ in range(100):
        label = rng.randrange(3)
        words = [rng.choice(common) for _ in range(rng.randrange(2, 14))]
        if rng.random() < 0.6:
            words.insert(rng.randrange(len(words)), ["bad", "is", "good"][label])
        if rng.random() < 0.15:
            words.append(rng.choice(rare))
        rows.append((" ".join(words), label))
    return rows


def join_only_type(model):
    """RoBERTa adds the row of its only token type to all positions: retort keeps the sums, and trains them."""
    embeddings = getattr(model.base_model, "embeddings", None)
    types = getattr(embeddings, "token_type_embeddings", None)
    if types is not None and types.num_embeddings == 1:
        with torch.no_grad():
            embeddings.position_embeddings.weight += types.weight
            types.weight.zero_()
        types.weight.requires_grad = False


def train(name, rows):
    torch.manual_seed(0)
    folder = str(HERE / "checkpoints" / name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
    join_only_type(model)
    vectors = [p for p in model.parameters() if p.dim() == 1]
    matrices = [p for p in model.parameters() if p.dim() > 1 and p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(WARMUP * STEPS), STEPS)
    per_epoch = (len(rows) + BATCH - 1) // BATCH
    losses = []
    for step in range(STEPS):
        epoch, at = divmod(step, per_epoch)
        which = shuffled(len(rows), SEED, epoch)[at * BATCH:(at + 1) * BATCH]
        batch = tokenizer([rows[i][0] for i in which], padding=True, truncation=True, max_length=40, return_tensors="pt")
        loss = model(**batch, labels=torch.tensor([rows[i][1] for i in which])).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def main():
    rows = texts()
    with open(HERE / "training.tsv", "w") as out:
        out.write("sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    with open(HERE / "training.txt", "w") as out:
        out.write(f"# batch {BATCH} steps {STEPS} seed {SEED} rate {RATE} warmup {WARMUP} decay {DECAY} clip {CLIP}\n")
        for name in NAMES:
            losses = train(name, rows)
            print(name, losses[:3], losses[-3:])
            out.write(name + "".join(f" {loss:.9g}" for loss in losses) + "\n")


if __name__ == "__main__":
    main()
