# SPDX-License-Identifier: Apache-2.0
"""Writes losses.json: each loss on small rows, with its gradient, by PyTorch in float64.

    python make_losses.py > losses.json

Pairs are sentence-transformers' MultipleNegativesRankingLoss (scale 20) and CosineSimilarityLoss, written out.
"""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(17)
torch.set_default_dtype(torch.float64)


def rows(*shape):
    return (torch.randint(-500, 500, shape) / 128).clone()


def case(name, kind, x, loss, **more):
    x = x.clone().requires_grad_()
    value = loss(x)
    value.backward()
    flat = {key: v.flatten().tolist() if torch.is_tensor(v) else v for key, v in more.items()}
    return dict(name=name, kind=kind, columns=x.shape[-1], rows=x.detach().flatten().tolist(), loss=value.item(),
                grad=[float("%.9g" % g) for g in x.grad.flatten()], **flat)


def pairs(x):
    a, b = F.normalize(x[: len(x) // 2]), F.normalize(x[len(x) // 2:])
    return a, b


def ranking(x):
    a, b = pairs(x)
    return F.cross_entropy(20 * a @ b.T, torch.arange(len(a)))


def ranking_of_equals(texts):
    """Pairs with the same first or second text are no wrong answers to each other."""
    a, b = texts[: len(texts) // 2], texts[len(texts) // 2:]
    right = ((a[:, None] == a) | (b[:, None] == b)) & ~torch.eye(len(a), dtype=bool)

    def loss(x):
        a, b = pairs(x)
        return F.cross_entropy((20 * a @ b.T).masked_fill(right, -torch.inf), torch.arange(len(a)))
    return loss


def similarity(scores):
    def loss(x):
        a, b = pairs(x)
        return F.mse_loss((a * b).sum(1), scores)
    return loss


def distil(teacher, t):
    return lambda x: F.kl_div(F.log_softmax(x / t, -1), F.log_softmax(teacher / t, -1), reduction="batchmean",
                              log_target=True) * t * t


def distil_yes_no(teacher, t):
    def loss(x):
        p, q = torch.sigmoid(teacher / t), torch.sigmoid(x / t)
        return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean() * t * t
    return loss


labels, weights = torch.tensor([2, 0, 1, 2, 4]), torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0])
tags = torch.tensor([-1, 3, 0, -1, 1, 1, -1, -1])
yes_no = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
values = torch.tensor([[0.5], [-2.0], [3.25]])
scores = torch.tensor([0.25, 1.0, 0.5])
texts = torch.tensor([1, 2, 3, 1, 4, 5, 6, 5, 7, 8])
teacher, other = rows(4, 5), rows(4, 3)
x = rows(5, 5)
print(json.dumps([
    case("cross entropy", "label", x, lambda x: F.cross_entropy(x, labels), labels=labels),
    case("label smoothing", "label", x, lambda x: F.cross_entropy(x, labels, label_smoothing=0.1), labels=labels,
         smoothing=0.1),
    case("class weights", "label", x, lambda x: F.cross_entropy(x, labels, weight=weights), labels=labels,
         weights=weights),
    case("class weights and smoothing", "label", x,
         lambda x: F.cross_entropy(x, labels, weight=weights, label_smoothing=0.25), labels=labels, weights=weights,
         smoothing=0.25),
    case("large logits", "label", 40 * x, lambda x: F.cross_entropy(x, labels), labels=labels),
    case("tags", "tags", rows(8, 4), lambda x: F.cross_entropy(x, tags, ignore_index=-1), labels=tags),
    case("tags and smoothing", "tags", rows(8, 4),
         lambda x: F.cross_entropy(x, tags, ignore_index=-1, label_smoothing=0.1), labels=tags, smoothing=0.1),
    case("several labels", "labels", rows(4, 3), lambda x: F.binary_cross_entropy_with_logits(x, yes_no),
         targets=yes_no),
    case("several labels, smoothed and weighted", "labels", 20 * rows(4, 3),
         lambda x: F.binary_cross_entropy_with_logits(x, yes_no * 0.8 + 0.1, weight=weights[:3]), targets=yes_no,
         smoothing=0.2, weights=weights[:3]),
    case("values", "value", rows(3, 1), lambda x: F.mse_loss(x, values), targets=values),
    case("ranking of pairs", "pair", rows(8, 6), ranking),
    case("ranking of pairs with equal texts", "pair", rows(10, 4), ranking_of_equals(texts), texts=texts),
    case("similarity of pairs", "pair", rows(6, 6), similarity(scores), scores=scores),
    case("distillation", "label", rows(4, 5), distil(teacher, 2), teacher=teacher, temperature=2),
    case("distillation of tags", "tags", 10 * rows(4, 5), distil(teacher, 1), teacher=teacher, temperature=1),
    case("distillation of several labels", "labels", rows(4, 3), distil_yes_no(other, 3), teacher=other, temperature=3),
    case("distillation of vectors", "pair", rows(4, 3), lambda x: F.mse_loss(x, other), teacher=other, temperature=2),
], indent=1).replace(",\n   ", ",").replace("[\n   ", "["))
