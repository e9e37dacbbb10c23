#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes gradients.txt: gradients of tiny models in PyTorch, for test/gradient_test.c.

usage: make_gradients.py > gradients.txt

The loss is the sum of all outputs of real tokens (sequences, mask tokens, vectors), each times a factor that differs from place to place.
A line for each parameter: its name, rows and columns, three of its weights, by which the test finds it in a graph that has
joined or reordered matrices, the norm of its gradient, and gradients at eight places, spread evenly, each as place:value.
Matrices are [in, out].
"""
import json
import math
import os
import sys

import safetensors.torch
import torch
import transformers

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
MODELS = [
    ("distilbert-classify", "SequenceClassification"), ("distilbert-tag", "TokenClassification"),
    ("distilbert-multilabel", "SequenceClassification"), ("bert-classify", "SequenceClassification"),
    ("bert-tag", "TokenClassification"), ("bert-answer", "QuestionAnswering"),
    ("electra-classify", "SequenceClassification"), ("electra-tag", "TokenClassification"),
    ("roberta-classify", "SequenceClassification"), ("roberta-tag", "TokenClassification"),
    ("package-mean", None), ("package-dense", None),  # vectors: pooling, a dense layer with tanh, normalized
    ("modernbert-classify", "SequenceClassification"), ("modernbert-mean", "SequenceClassification"),
    ("modernbert-local-classify", "SequenceClassification"), ("modernbert-tag", "TokenClassification"),
    ("nomic-classify", "SequenceClassification"),
    ("gte-classify", "SequenceClassification"), ("gte-tag", "TokenClassification"),
    ("mpnet-classify", "SequenceClassification"), ("mpnet-tag", "TokenClassification"),
    ("albert-classify", "SequenceClassification"), ("albert-groups", "TokenClassification"), ("albert-square", "QuestionAnswering"),
    ("deberta-classify", "SequenceClassification"), ("deberta-tag", "TokenClassification"), ("deberta-c2p", "SequenceClassification"),
    ("deberta-p2c", "TokenClassification"),
    ("eurobert-classify", "SequenceClassification"), ("eurobert-bos", "SequenceClassification"), ("eurobert-mean", "SequenceClassification"),
    ("eurobert-tag", "TokenClassification"),
]
LENGTHS = (5, 23, 3)  # some keys of the second are outside the windows of the tiny models


def wish(i):
    return float((i * 2654435761 & 0xFFFFFFFFFFFFFFFF) % 1000) / 500.0 - 1.0


def inputs(config, mask_id):
    """The ids of test/gradient_test.c."""
    rows = [[5 + (b * 31 + i * 7) % (config.vocab_size - 5) for i in range(n)] for b, n in enumerate(LENGTHS)]
    for row in rows:
        row[1] = mask_id if mask_id is not None else row[1]
    types = [[int(i >= n // 2) if getattr(config, "type_vocab_size", 0) > 1 else 0 for i in range(n)] for n in LENGTHS]
    most, pad = max(LENGTHS), config.pad_token_id or 0
    fill = lambda rows, value: torch.tensor([row + [value] * (most - len(row)) for row in rows])
    out = {"input_ids": fill(rows, pad), "attention_mask": fill([[1] * n for n in LENGTHS], 0)}
    if config.model_type in ("bert", "electra", "nomic_bert", "albert") or (config.model_type in ("gte", "deberta-v2") and config.type_vocab_size > 1):
        out["token_type_ids"] = fill(types, 0)
    return out


def loss_of(head, output, given, mask_id):
    if head in ("SequenceClassification", None):
        rows = output.logits
    elif head == "QuestionAnswering":
        rows = torch.stack([output.start_logits, output.end_logits], -1)[given["attention_mask"].bool()]
    elif head == "MaskedLM":
        rows = output.logits[given["input_ids"] == mask_id]
    else:
        rows = output.logits[given["attention_mask"].bool()]
    flat = rows.reshape(-1)
    return (flat * torch.tensor([wish(i) for i in range(len(flat))])).sum()


def module(folder, kind):
    """The folder of a module of a sentence-transformers package; None: it has none."""
    with open(os.path.join(folder, "modules.json"), encoding="utf-8") as file:
        found = [entry["path"] for entry in json.load(file) if entry["type"].endswith("." + kind)]
    return os.path.join(folder, found[0]) if found else None


class Vectors(torch.nn.Module):
    """What a sentence-transformers package computes."""

    def __init__(self, folder):
        super().__init__()
        self.encoder = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
        self.config = self.encoder.config
        with open(os.path.join(module(folder, "Pooling"), "config.json"), encoding="utf-8") as file:
            self.pooling = json.load(file)["pooling_mode"]
        self.normalizes = module(folder, "Normalize") is not None
        self.dense, dense = None, module(folder, "Dense")
        if dense is not None:
            weights = safetensors.torch.load_file(os.path.join(dense, "model.safetensors"))
            self.dense = torch.nn.Linear(*weights["linear.weight"].shape[::-1])
            self.dense.load_state_dict({key.removeprefix("linear."): value for key, value in weights.items()})

    def forward(self, **given):
        states, mask = self.encoder(**given).last_hidden_state, given["attention_mask"].unsqueeze(-1)
        rows = states[:, 0] if self.pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
        rows = torch.tanh(self.dense(rows)) if self.dense is not None else rows
        rows = torch.nn.functional.normalize(rows, dim=1) if self.normalizes else rows
        return transformers.modeling_outputs.SequenceClassifierOutput(logits=rows)


def line_of(name, weight, grad, skip=0):
    """A line for a matrix, table or vector of which the first `skip` rows are not stored."""
    rows, columns = (1, weight.shape[0]) if weight.dim() == 1 else weight.shape
    grad, kept = grad.reshape(-1).double(), weight.reshape(-1)[skip * columns:]
    places = [len(grad) * i // 8 for i in range(min(8, len(grad)))]
    key = [kept[i].item() for i in (0, len(kept) // 2, len(kept) - 1)]
    return " ".join([name, str(rows - skip), str(columns), *(f"{w:.9g}" for w in key), f"{math.sqrt((grad * grad).sum()):.9g}",
                     *(f"{i - skip * columns}:{grad[i]:.9g}" for i in places if i >= skip * columns)])


def paired(first, second):
    """Columns of two matrices or vectors in turns of 16, as src/kernel/kernel.h has pairs."""
    n = first.shape[-1]
    turns = [x[..., at:at + 16] for at in range(0, n, 16) for x in (first, second)]
    return torch.cat(turns, -1)


def turned(x, heads):
    """Columns of heads, the halves of each as pairs."""
    return torch.cat([paired(*head.chunk(2, -1)) for head in x.chunk(heads, -1)], -1)


def entries(model):
    """Name, weights and gradients of each parameter that has one, both as the graph lays them out; and the rows to skip."""
    config, named = model.config, dict(model.named_parameters())
    rotary = config.model_type in ("modernbert", "nomic_bert", "gte", "eurobert")
    for name, parameter in named.items():
        if parameter.grad is None or parameter.grad.abs().max() == 0:
            continue
        table = "embeddings.weight" in name or "_embeddings" in name or "embed_tokens" in name
        both = [x if table or x.dim() == 1 else x.T for x in (parameter.detach(), parameter.grad)]
        only_type = named.get(name.rpartition(".embeddings.")[0] + ".embeddings.token_type_embeddings.weight")
        if only_type is not None and len(only_type) > 1:
            only_type = None
        if "token_type" in name and only_type is not None:  # it is a part of each position, or of each word
            continue
        if config.model_type in ("roberta", "mpnet") and "position_embeddings" in name:  # they begin with that of padding
            yield name, both[0] + (only_type.detach() if only_type is not None else 0), both[1], config.pad_token_id
        elif config.model_type == "gte" and "word_embeddings" in name and only_type is not None:
            yield name, both[0] + only_type.detach(), both[1], 0
        elif ".Wqkv." in name:
            parts = zip("qkv", *(x.chunk(3, -1) for x in both))
            for part, weight, grad in parts:
                turn = (lambda x: x) if part == "v" else lambda x: turned(x, config.num_attention_heads)
                yield f"{name}.{part}", turn(weight), turn(grad), 0
        elif ".Wi." in name:
            yield name, *(paired(*x.chunk(2, -1)) for x in both), 0
        elif rotary and (".q_proj." in name or ".k_proj." in name):
            heads = getattr(config, "num_key_value_heads", config.num_attention_heads) if ".k_proj." in name else config.num_attention_heads
            yield name, *(turned(x, heads) for x in both), 0
        elif ".gate_proj." in name:
            up = named[name.replace("gate_proj", "up_proj")]
            ups = [x if x.dim() == 1 else x.T for x in (up.detach(), up.grad)]
            yield name, *(paired(*x) for x in zip(both, ups)), 0
        elif ".up_proj." not in name:
            yield name, *both, 0


def main():
    torch.set_num_threads(1)
    for name, head in MODELS:
        folder = os.path.join(FOLDER, name)
        model = (getattr(transformers, "AutoModelFor" + head).from_pretrained(folder, dtype=torch.float32) if head else Vectors(folder)).eval()
        if hasattr(model.config, "clf_pooling"):  # the key of EuroBERT's files on the hub
            model.classifier_pooling = model.config.clf_pooling
        mask_id = None
        if head == "MaskedLM":
            with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
                mask_id = file.read().split("\n").index("[MASK]")
        given = inputs(model.config, mask_id)
        loss_of(head, model(**given), given, mask_id).backward()
        print("model", name)
        for entry in entries(model):
            print(line_of(*entry))
    print("end", file=sys.stderr)


if __name__ == "__main__":
    main()
