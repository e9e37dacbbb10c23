#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_onnx.py RETORT

Makes fuzz/corpus/onnx: exports of tiny models by torch, by ONNX Runtime's tools, and by us. Needs torch, transformers,
onnx and onnxruntime."""
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer

OUT = pathlib.Path(__file__).parent / "corpus/onnx"
SIZES = dict(vocab_size=6, max_position_embeddings=4, num_labels=2)
BERT = dict(hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4, **SIZES)
DISTIL = dict(dim=4, n_layers=1, n_heads=2, hidden_dim=4, **SIZES)
MODELS = {
    "bert": transformers.BertForSequenceClassification(transformers.BertConfig(**BERT)),
    "distilbert": transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**DISTIL)),
    "modernbert": transformers.ModernBertForSequenceClassification(transformers.ModernBertConfig(
        hidden_size=4, num_hidden_layers=2, num_attention_heads=1, intermediate_size=4, global_attn_every_n_layers=2, local_attention=2,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **SIZES)),
    "mpnet": transformers.MPNetForSequenceClassification(transformers.MPNetConfig(**{**BERT, "max_position_embeddings": 6})),
    "deberta": transformers.DebertaV2ForSequenceClassification(transformers.DebertaV2Config(
        relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=4, share_att_key=True, position_biased_input=False,
        norm_rel_ebd="layer_norm", **BERT)),
    "eurobert": transformers.EuroBertForSequenceClassification(transformers.EuroBertConfig(**BERT, num_key_value_heads=1, head_dim=2,
                                                                                       pad_token_id=0, bos_token_id=2, eos_token_id=3)),
    "fill": transformers.BertForMaskedLM(transformers.BertConfig(**BERT)),
}


def export(name, model, path, opset):
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if name in ("bert", "fill") else [])
    inputs = {key: torch.ones(2, 3, dtype=torch.long) for key in names}
    axes = {key: {0: "batch", 1: "sequence"} for key in [*names, "logits"]}
    model.set_attn_implementation("eager" if opset < 17 or name in ("mpnet", "deberta") else "sdpa")
    torch.onnx.export(model.eval(), (inputs,), path, input_names=names, output_names=["logits"], dynamic_axes=axes,
                      opset_version=opset, dynamo=False)


def own(model, level):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        pathlib.Path(folder, "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
        subprocess.run([sys.argv[1], "export", folder, "--level", str(level), "-o", OUT / f"own-{level}"], check=True)


def main():
    torch.manual_seed(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, model in MODELS.items():
        export(name, model, OUT / name, 17)
    with tempfile.TemporaryDirectory() as folder:
        eager = f"{folder}/eager.onnx"
        export("bert", MODELS["bert"], eager, 14)
        quantize_dynamic(eager, str(OUT / "dynamic"), weight_type=QuantType.QInt8, per_channel=True)
        optimizer.optimize_model(eager, model_type="bert", num_heads=2, hidden_size=4, opt_level=0).save_model_to_file(
            str(OUT / "fused"))
    for level in (0, 2, 3):
        own(MODELS["bert"], level)


main()
