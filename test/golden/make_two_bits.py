# SPDX-License-Identifier: Apache-2.0
"""Writes two_bits.txt: sixteen columns of weights rounded to 2 bits, with numpy's float32.

    python make_two_bits.py > two_bits.txt

The levels are -3, -1, 1 and 3. Each group of rows has an integer
scale of 1…42, each column a float scale in bf16; a weight is level * group scale * column scale. Both scales are searched for the
least squared error. A line is a column: its scale in hexadecimal, the scales of its groups, and its levels as digits 0…3.
"""
import numpy as np

K, GROUP, COLUMNS = 160, 64, 16
f32 = np.float32


def weights():
    """As make_panel of quant_test.c: about normal, columns of different sizes, one of zeros, one with an outlier, one with a group of zeros."""
    state, w = 2, np.zeros((K, COLUMNS), f32)
    for i in range(K):
        for c in range(COLUMNS):
            total = f32(0)
            for _ in range(4):
                state = (state * 1664525 + 1013904223) % 2**32
                total = total + f32(f32(state >> 8) * f32(2.0**-24) - f32(0.5))
            w[i, c] = np.ldexp(total, c - 8)
    w[:, 3] = 0
    w[GROUP : 2 * GROUP, 5] = 0
    w[17, 4] = 1.5
    return w


def bf16(x):
    """Nearest, halves to even."""
    bits = np.asarray(x, f32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(f32)


def levels(w, scale):
    """The nearest level: half of one less, rounded, halves to even."""
    inverse = np.divide(f32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.clip(2 * np.rint((w * inverse - f32(1)) / 2) + 1, -3, 3).astype(f32)


def errors(w, scale):
    total = np.zeros(COLUMNS, f32)
    for row in w:
        lost = row - levels(row, scale) * scale
        total = total + lost * lost
    return total


def search(candidates, error_of):
    best, least = np.zeros(COLUMNS, f32), np.full(COLUMNS, np.inf, f32)
    for scale in candidates:
        error = error_of(scale)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return best


def group_scales(reals, scale):
    ratio = np.divide(reals, scale, out=np.ones_like(reals), where=scale > 0)
    return np.clip(np.rint(ratio), 1, 42).astype(f32)


w = weights()
groups = [w[i : i + GROUP] for i in range(0, K, GROUP)]
# The highest level at the largest weight, down to a quarter of it: the best place is 1.5 standard deviations.
reals = np.array([search([bf16(np.abs(g).max(0) * f32(1 - t / 64) / f32(3)) for t in range(49)], lambda s: errors(g, s)) for g in groups])


def grouped_errors(scale):
    total = np.zeros(COLUMNS, f32)
    for g, integers in zip(groups, group_scales(reals, scale)):
        total = total + errors(g, integers * scale)
    return total


largest = reals.max(0)
column = search([bf16(largest / f32(42.25 - 0.7 * t)) for t in range(24)], grouped_errors)
integers = group_scales(reals, column)
codes = np.vstack([levels(g, i * column) for g, i in zip(groups, integers)])
for c in range(COLUMNS):
    digits = "".join("%d" % ((code + 3) / 2) for code in codes[:, c])
    print(float(column[c]).hex(), *("%d" % g for g in integers[:, c]), digits)
