#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the ONNX files of test/exports/golden: golden checkpoints as torch exports them, for onnx_test.

usage: make_golden.py FOLDER [--all]

    pip install torch==2.15.0 transformers==5.24.0 onnx==1.23.2 onnxscript==0.7.2 sympy==1.14.0

A file is called CHECKPOINT.EXPORTER.onnx. Its values have short names, and no documentation, so that it is small. --all makes
both exporters' files of each checkpoint that transformers has a class for, with each attention that it has.
"""
import argparse
import contextlib
import io
import json
import logging
import pathlib
import sys
import warnings

try:
    import onnx
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

CHECKPOINTS = pathlib.Path(__file__).resolve().parent.parent / "golden" / "checkpoints"
# (checkpoint, exporter, attention), what onnx_test reads
FILES = [("modernbert-classify", "trace", "sdpa"), ("modernbert-classify", "dynamo", "eager"), ("modernbert-fill", "dynamo", "sdpa"),
         ("nomic-classify", "trace", "eager"), ("nomic-fill", "dynamo", "sdpa"), ("gte-classify", "trace", "sdpa"),
         ("gte-fill", "dynamo", "sdpa"), ("albert-classify", "trace", "sdpa"), ("albert-groups", "dynamo", "sdpa"),
         ("xlm-roberta-classify", "dynamo", "sdpa"), ("mpnet-classify", "trace", "eager"), ("mpnet-fill", "dynamo", "eager"), ("deberta-classify", "trace", "eager"),
         ("deberta-tag", "dynamo", "eager"), ("deberta-p2c", "dynamo", "eager"), ("eurobert-classify", "trace", "eager"),
         ("eurobert-tag", "dynamo", "sdpa")]
OUTPUTS = {"Model": ["last_hidden_state"], "ForQuestionAnswering": ["start_logits", "end_logits"]}


class Positional(torch.nn.Module):
    """The model with its inputs in order, as the older exporter calls it."""

    def __init__(self, model, inputs, outputs):
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *values):
        made = self.model(**dict(zip(self.inputs, values)))
        return tuple(made[name] for name in self.outputs)


def load(name, attention):
    config = json.loads((CHECKPOINTS / name / "config.json").read_text())
    return getattr(transformers, config["architectures"][0]).from_pretrained(CHECKPOINTS / name, attn_implementation=attention).eval()


def inputs_of(config):
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    ids = torch.tensor([[2, 70, 71, 72, 3], [2, 80, 3, 0, 0]])
    ids[mask == 0] = config.pad_token_id or 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = torch.zeros_like(ids)
    return inputs


def shorten(path):
    """Values as x1, x2, …, and no texts for people."""
    model = onnx.load(path)
    kept = {x.name for x in [*model.graph.input, *model.graph.output]}
    short = {}
    rename = lambda name: name if name in kept or not name else short.setdefault(name, f"x{len(short)}")
    for node in model.graph.node:
        node.input[:] = map(rename, node.input)
        node.output[:] = map(rename, node.output)
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.name, tensor.doc_string = rename(tensor.name), ""
        del tensor.metadata_props[:]
    for part in (model.graph.value_info, model.graph.metadata_props, model.metadata_props):
        del part[:]
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    onnx.save(model, path)


def export(name, exporter, attention, path):
    model = load(name, attention)
    inputs = inputs_of(model.config)
    ending = next((ending for ending in OUTPUTS if type(model).__name__.endswith(ending)), "")
    outputs = OUTPUTS.get(ending, ["logits"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if exporter == "trace":
            axes = {x: {0: "batch", 1: "sequence"} for x in [*inputs, *outputs]}
            torch.onnx.export(Positional(model, list(inputs), outputs), tuple(inputs.values()), path, dynamo=False, opset_version=17,
                              input_names=list(inputs), output_names=outputs, dynamic_axes=axes)
        else:
            batch, sequence = torch.export.Dim("batch", max=64), torch.export.Dim("sequence", max=40)
            torch.onnx.export(model, (), path, kwargs=inputs, dynamo=True, opset_version=18, input_names=list(inputs),
                              output_names=outputs, dynamic_shapes={x: {0: batch, 1: sequence} for x in inputs}, verbose=False,
                              external_data=False)
    shorten(path)


def every():
    for folder in sorted(CHECKPOINTS.iterdir()):
        config = folder / "config.json"
        if not (folder / "golden.json").exists() or not config.exists() or not (folder / "model.safetensors").exists():
            continue
        names = json.loads(config.read_text()).get("architectures") or [""]
        if hasattr(transformers, names[0]):
            for exporter in ("trace", "dynamo"):
                for attention in ("eager", "sdpa"):
                    yield folder.name, exporter, attention


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, exporter, attention in every() if args.all else FILES:
        path = args.folder / f"{name}.{exporter}{'-' + attention if args.all else ''}.onnx"
        if args.only not in path.name or path.exists():
            continue
        try:
            export(name, exporter, attention, str(path))
            print(path.name, path.stat().st_size, flush=True)
        except Exception as error:  # whatever an exporter raises is its refusal
            path.unlink(missing_ok=True)
            print(f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}", flush=True)


if __name__ == "__main__":
    main()
