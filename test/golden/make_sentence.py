#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sentence.json beside this file: what torch.nn's activations make of the logits of a cross-encoder.

    python test/golden/make_sentence.py     needs torch
"""
import json
import pathlib

import torch

LOGITS = [[-90.0, -3.25, -0.5], [0.0, 1e-3, 0.75], [2.5, 17.0, 91.0]]
ACTIVATIONS = [torch.nn.Identity(), torch.nn.Tanh(), torch.nn.ReLU(), torch.nn.GELU(), torch.nn.Sigmoid(), torch.nn.SiLU(),
               torch.nn.LeakyReLU(), torch.nn.Softplus(), torch.nn.Mish(), torch.nn.LogSigmoid(), torch.nn.Tanhshrink(),
               torch.nn.Softsign(), torch.nn.Softmax(dim=1)]


def path_of(module):
    return f"{type(module).__module__}.{type(module).__name__}"


def main():
    scores = {path_of(act): act(torch.tensor(LOGITS)).tolist() for act in ACTIVATIONS}
    text = json.dumps({"logits": LOGITS, "scores": scores})
    pathlib.Path(__file__).with_name("sentence.json").write_text(text.replace('], "torch', '],\n "torch') + "\n")


if __name__ == "__main__":
    main()
