# SPDX-License-Identifier: Apache-2.0
"""The order of examples in src/train/batches.c, for trainings in PyTorch on the same batches: SplitMix64 (Steele et al., 2014)
shuffles each epoch."""

MASK = (1 << 64) - 1


def splitmix(state):
    """The next state, and the number drawn."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def shuffled(count, seed, epoch):
    state = (seed + epoch * 0xD1342543DE82EF95) & MASK
    order = list(range(count))
    for i in range(count, 1, -1):
        state, drawn = splitmix(state)
        j = drawn % i
        order[i - 1], order[j] = order[j], order[i - 1]
    return order
