#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes ONNX exports of tiny random encoders as users have them; check.py beside it reads them.

usage: make.py FOLDER [--only NAME]

Needs torch, transformers, onnx, onnxscript and onnxruntime; of what is missing it says so and makes the rest. An export is a
folder ARCHITECTURE-TASK-EXPORTER-OPSET-FORM with config.json, the tokenizer, model.onnx and export.json, which names its kind
and the float export of the same weights. What an exporter or a quantiser refuses is listed in FOLDER/not_made.txt.
"""
import argparse
import contextlib
import functools
import io
import json
import logging
import pathlib
import shutil
import sys
import warnings

MISSING = []
try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    import transformers
    from onnxruntime import quantization
except ImportError as missing:
    sys.exit(f"skipped: {missing}")

WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS), *".,!?'-", *WORDS]
SMALL = {"vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "max_position_embeddings": 48, "initializer_range": 0.2}
CONFIGS = {
    "distilbert": lambda: transformers.DistilBertConfig(vocab_size=len(VOCABULARY), dim=32, n_layers=2, n_heads=4, hidden_dim=64,
                                                        max_position_embeddings=48, initializer_range=0.2),
    "bert": lambda: transformers.BertConfig(**SMALL),
    "electra": lambda: transformers.ElectraConfig(**SMALL, embedding_size=16),
    "roberta": lambda: transformers.RobertaConfig(**{**SMALL, "max_position_embeddings": 50}, type_vocab_size=1, pad_token_id=0,
                                                  bos_token_id=2, eos_token_id=3),
}
TASKS = {"classify": "AutoModelForSequenceClassification", "tag": "AutoModelForTokenClassification",
         "answer": "AutoModelForQuestionAnswering", "fill": "AutoModelForMaskedLM", "embed": "AutoModel"}
OUTPUTS = {"answer": ["start_logits", "end_logits"], "embed": ["last_hidden_state"]}
OPSETS = (11, 14, 17, 21)
# Architectures and tasks; all but the first of an architecture only with the exporters' float forms.
MODELS = [(architecture, "classify") for architecture in CONFIGS] + [
    (architecture, task) for architecture in ("distilbert", "bert") for task in TASKS if task != "classify"]


def tokenizer_files(folder):
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, model_max_length=40)
    tokenizer.save_pretrained(folder)


@functools.cache
def model_of(architecture, task, attention):
    torch.manual_seed(11)
    config = CONFIGS[architecture]()
    if task in ("classify", "tag"):
        config.id2label = {0: "negative", 1: "neutral", 2: "positive"}
        config.label2id = {"negative": 0, "neutral": 1, "positive": 2}
    model = getattr(transformers, TASKS[task]).from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:  # as trained: no bias of 0, no gain of 1
                weight.add_(torch.randn_like(weight) * 0.1)
    model.config.architectures = [type(model).__name__]
    return model


def inputs_of(architecture):
    ids = torch.tensor([[2, 70, 71, 72, 3], [2, 80, 3, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    if architecture in ("bert", "electra"):
        inputs["token_type_ids"] = torch.zeros_like(ids)
    return inputs


def texts_ids(count):
    """Batches of ids for calibration."""
    dice = np.random.default_rng(5)
    for _ in range(count):
        ids = dice.integers(5, len(VOCABULARY), (2, 12))
        ids[:, 0], ids[:, -1] = 2, 3
        yield ids.astype(np.int64)


class Reader(quantization.CalibrationDataReader):
    def __init__(self, path):
        names = [x.name for x in onnxruntime.InferenceSession(path).get_inputs()]
        self.rows = iter([{name: ids if name == "input_ids" else np.full_like(ids, name == "attention_mask") for name in names}
                          for ids in texts_ids(8)])

    def get_next(self):
        return next(self.rows, None)


# ---- Exporters ----

def export(architecture, task, exporter, opset, attention, path):
    model, inputs = model_of(architecture, task, attention), inputs_of(architecture)
    outputs = OUTPUTS.get(task, ["logits"])
    if exporter == "trace":
        axes = {name: {0: "batch", 1: "sequence"} for name in [*inputs, *outputs]}
        if task == "classify":
            axes["logits"] = {0: "batch"}
        torch.onnx.export(model, (), path, kwargs=inputs, dynamo=False, opset_version=opset, input_names=list(inputs),
                          output_names=outputs, dynamic_axes=axes, do_constant_folding=True)
    else:
        batch, sequence = torch.export.Dim("batch", max=64), torch.export.Dim("sequence", max=40)
        torch.onnx.export(model, (), path, kwargs=inputs, dynamo=True, opset_version=opset, input_names=list(inputs),
                          output_names=outputs, dynamic_shapes={name: {0: batch, 1: sequence} for name in inputs}, verbose=False,
                          external_data=False)
    made = {x.domain: x.version for x in onnx.load(path).opset_import}[""]
    if made != opset:
        raise ValueError(f"wrote opset {made}")


# ---- What is made of a float export ----

def dynamic(source, path, **options):
    quantization.quantize_dynamic(source, path, **options)


def static(source, path, form, prepared, **options):
    prepared_path = path + ".prepared"
    if prepared:
        quantization.quant_pre_process(source, prepared_path, skip_symbolic_shape=prepared == "no symbols")
    try:
        quantization.quantize_static(prepared_path if prepared else source, path, Reader(source), quant_format=form, **options)
    finally:
        pathlib.Path(prepared_path).unlink(missing_ok=True)


def half(source, path, **options):
    from onnxruntime.transformers.float16 import convert_float_to_float16
    onnx.save(convert_float_to_float16(onnx.load(source), **options), path)


def fused(source, path, level=None, half_floats=False):
    from onnxruntime.transformers import optimizer
    model = optimizer.optimize_model(source, "bert", num_heads=4, hidden_size=32, opt_level=level)
    if half_floats:
        model.convert_float_to_float16()
    model.save_model_to_file(path)


def ort_level(source, path, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = path
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def four_bits(source, path):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32)
    quantizer.process()
    onnx.save(quantizer.model.model, path)


def forms():
    """(name, kind, function) of each form; a kind is what the report counts."""
    made = [("float16", "float16", half), ("float16-keep", "float16", functools.partial(half, keep_io_types=True)),
            ("dynamic", "dynamic", dynamic), ("dynamic-channel", "dynamic", functools.partial(dynamic, per_channel=True)),
            ("dynamic-u8", "dynamic", functools.partial(dynamic, weight_type=quantization.QuantType.QUInt8)),
            ("fused", "fused", fused), ("fused-0", "fused", functools.partial(fused, level=0)),
            ("fused-float16", "fused", functools.partial(fused, half_floats=True)),
            ("basic", "ORT level", functools.partial(ort_level, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)),
            ("extended", "ORT level", functools.partial(ort_level, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)),
            ("nbits", "MatMulNBits", four_bits)]
    for name, form in (("QDQ", quantization.QuantFormat.QDQ), ("QOperator", quantization.QuantFormat.QOperator)):
        for prepared in (False, True, "no symbols"):
            for channel in (False, True):
                words = [name.lower(), *(["prepared" if prepared is True else "folded"] if prepared else []), *(["channel"] * channel)]
                made.append(("-".join(words), f"static {name}", functools.partial(static, form=form, prepared=prepared,
                                                                                   per_channel=channel)))
        made.append((f"{name.lower()}-s8", f"static {name}", functools.partial(static, form=form, prepared=False,
                                                                                 activation_type=quantization.QuantType.QInt8)))
    return made


# ---- The folder ----

class Maker:
    def __init__(self, folder, only):
        self.folder, self.only, self.made, self.refused = folder, only, 0, []

    def write(self, name, kind, model, reference, function):
        """One export: function writes its model.onnx."""
        folder = self.folder / name
        path = folder / "model.onnx"
        if self.only not in name or path.exists():
            return path
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                function(str(path))
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever an exporter raises is its refusal
            shutil.rmtree(folder)
            self.refused.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
            return None
        model.config.save_pretrained(folder)
        tokenizer_files(folder)
        (folder / "export.json").write_text(json.dumps({"kind": kind, "reference": reference, "input": name.split("-")[0]}) + "\n")
        self.made += 1
        print(name, flush=True)
        return path

    def float_export(self, architecture, task, exporter, opset, attention):
        name = f"{architecture}-{task}-{exporter}-{opset}-{attention}"
        kind = f"{'float' if task == 'classify' else 'float, other tasks'}, {exporter}"
        path = self.write(name, kind, model_of(architecture, task, attention), name,
                          lambda path: export(architecture, task, exporter, opset, attention, path))
        return name, path if path and path.exists() else None

    def derived(self, architecture, name, path):
        for form, kind, function in forms():
            self.write(f"{name}-{form}", kind, model_of(architecture, "classify", "eager"), name,
                       functools.partial(function, str(path)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    maker, floats = Maker(args.folder, args.only), []
    for exporter in ("trace", "dynamo"):
        for architecture, task in MODELS:
            for opset in OPSETS if task == "classify" else (17, 21):
                for attention in ("eager", "sdpa") if opset >= 14 and task == "classify" else ("eager",):
                    name, path = maker.float_export(architecture, task, exporter, opset, attention)
                    if path and task == "classify":
                        floats.append((architecture, name, path))
    for architecture, name, path in floats:
        if name.endswith(("trace-11-eager", "trace-14-eager", "trace-17-sdpa", "dynamo-21-eager")):
            maker.derived(architecture, name, path)
    (args.folder / "not_made.txt").write_text("".join(line + "\n" for line in maker.refused))
    print(f"{maker.made} exports made, {len(maker.refused)} refused by what makes them (not_made.txt)")


if __name__ == "__main__":
    main()
