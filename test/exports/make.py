#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes ONNX exports of tiny random encoders as users have them; check.py beside it reads them.

usage: make.py FOLDER [--only NAME]

    pip install torch==2.15.0 transformers==5.24.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 sympy==1.14.0
    pip install transformers==4.57.6 optimum-onnx==0.1.0 …    # a second Python, for the graphs of transformers 4 and optimum

Skips what a missing package would make. An export is a folder ARCHITECTURE-TASK-EXPORTER-OPSET-ATTENTION-FORM with config.json,
the tokenizer, an .onnx file and export.json, which has its kind and the float export of the same weights; EXPORTER ends in 4
when transformers 4 made it. Exports that are there already are left alone. FOLDER/not_made_VERSION.txt lists what the
exporter, the quantiser or ONNX Runtime refused.
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
import tempfile
import warnings

try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    import transformers
    from onnxruntime import quantization
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
try:
    from optimum.exporters.onnx import main_export
except ImportError:
    main_export = None

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
LABELS = {"classify": ["negative", "neutral", "positive"], "tag": ["O", "B-PER", "I-PER"]}
# The float exports that are quantised, fused and halved.
DERIVED = ("trace-11-eager", "trace-14-eager", "trace-17-sdpa", "dynamo-21-eager", "trace4-14-eager", "trace4-17-sdpa")
OPSETS = (11, 14, 17, 21)
# Where the hub's repositories have them: config.json and the tokenizer stand above.
FILES = {"-subfolder": "onnx/model.onnx", "-subfolder-quantized": "onnx/model_quantized.onnx"}
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
    if task in LABELS:
        config.id2label = dict(enumerate(LABELS[task]))
        config.label2id = {label: i for i, label in enumerate(LABELS[task])}
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
        torch.onnx.export(model, tuple(inputs.values()), path, dynamo=False, opset_version=opset, input_names=list(inputs),
                          output_names=outputs, dynamic_axes=axes, do_constant_folding=True)
    else:
        batch, sequence = torch.export.Dim("batch", max=64), torch.export.Dim("sequence", max=40)
        torch.onnx.export(model, (), path, kwargs=inputs, dynamo=True, opset_version=opset, input_names=list(inputs),
                          output_names=outputs, dynamic_shapes={name: {0: batch, 1: sequence} for name in inputs}, verbose=False,
                          external_data=False)
    check_opset(path, opset)


def check_opset(path, opset):
    made = {x.domain: x.version for x in onnx.load(path).opset_import}[""]
    if made != opset:
        raise ValueError(f"wrote opset {made}")


def export_optimum(architecture, opset, path):
    """The folder that `optimum-cli export onnx` writes."""
    folder = pathlib.Path(path).parent
    model_of(architecture, "classify", None).save_pretrained(folder / "checkpoint")
    tokenizer_files(folder / "checkpoint")
    main_export(str(folder / "checkpoint"), folder, task="text-classification", opset=opset)
    shutil.rmtree(folder / "checkpoint")
    check_opset(path, opset)


# ---- What is made of a float export ----

def dynamic(source, path, **options):
    quantization.quantize_dynamic(source, path, **options)


def static(source, path, form, prepared, **options):
    prepared_path = path + ".prepared"
    if prepared:
        quantization.quant_pre_process(source, prepared_path, auto_merge=True, skip_symbolic_shape=prepared == "no symbols")
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
    made = [("subfolder", "ORT level", shutil.copy), ("subfolder-quantized", "dynamic", dynamic),
            ("float16", "float16", half), ("float16-keep", "float16", functools.partial(half, keep_io_types=True)),
            ("dynamic", "dynamic", dynamic), ("dynamic-channel", "dynamic", functools.partial(dynamic, per_channel=True)),
            ("dynamic-u8", "dynamic", functools.partial(dynamic, weight_type=quantization.QuantType.QUInt8)),
            ("fused", "fused, float", fused), ("fused-0", "fused, float", functools.partial(fused, level=0)),
            ("fused-float16", "fused, float16", functools.partial(fused, half_floats=True)),
            ("basic", "ORT level", functools.partial(ort_level, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)),
            ("extended", "ORT level", functools.partial(ort_level, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)),
            ("nbits", "MatMulNBits", four_bits)]
    for name, form in (("QDQ", quantization.QuantFormat.QDQ), ("QOperator", quantization.QuantFormat.QOperator)):
        for prepared in (False, True, "no symbols"):
            for channel in (False, True):
                before = ["prepared" if prepared is True else "folded"] if prepared else []
                words = [name.lower(), *before, *(["channel"] * channel)]
                made.append(("-".join(words), f"static {name}", functools.partial(static, form=form, prepared=prepared,
                                                                                   per_channel=channel)))
        made.append((f"{name.lower()}-s8", f"static {name}", functools.partial(static, form=form, prepared=False,
                                                                                 activation_type=quantization.QuantType.QInt8)))
    return made


# ---- The folder ----

class Maker:
    def __init__(self, folder, only):
        self.folder, self.only, self.made, self.refused = folder, only, 0, []
        self.suffix = "4" if transformers.__version__.startswith("4.") else ""

    def write(self, name, kind, model, reference, function):
        """One export: function writes its .onnx file. model: the arguments of model_of."""
        folder = self.folder / name
        file = next((file for ending, file in FILES.items() if name.endswith(ending)), "model.onnx")
        path = folder / file
        if self.only not in name or path.exists():
            return path
        shutil.rmtree(folder, ignore_errors=True)
        path.parent.mkdir(parents=True)
        try:
            model = model_of(*model)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                function(str(path))
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever an exporter raises is its refusal
            shutil.rmtree(folder)
            self.refused.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
            return None
        if not (folder / "config.json").exists():
            model.config.save_pretrained(folder)
            tokenizer_files(folder)
        (folder / "export.json").write_text(json.dumps({"kind": kind, "reference": reference, "file": file}) + "\n")
        self.made += 1
        print(name, flush=True)
        return path

    def float_export(self, architecture, task, exporter, opset, attention):
        name = f"{architecture}-{task}-{exporter}{self.suffix}-{opset}-{attention}"
        kind = f"{'float' if task == 'classify' else 'float, other tasks'}, {exporter}"
        path = self.write(name, kind, (architecture, task, attention), name,
                          lambda path: export(architecture, task, exporter, opset, attention, path))
        return name, path if path and path.exists() else None

    def optimum(self, architecture, opset):
        name = f"{architecture}-classify-optimum{self.suffix}-{opset}-sdpa"
        path = self.write(name, "float, optimum", (architecture, "classify", None), name,
                          lambda path: export_optimum(architecture, opset, path))
        return name, path if path and path.exists() else None

    def derived(self, architecture, name, path):
        for form, kind, function in forms():
            self.write(f"{name}-{form}", kind, (architecture, "classify", "eager"), name,
                       functools.partial(function, str(path)))


def make_all(maker):
    floats = []
    for exporter in ("trace", "dynamo"):
        for architecture, task in MODELS:
            for opset in OPSETS if task == "classify" else (17, 21):
                for attention in ("eager", "sdpa") if opset >= 14 and task == "classify" else ("eager",):
                    name, path = maker.float_export(architecture, task, exporter, opset, attention)
                    if path and task == "classify" and name.split("-", 2)[2] in DERIVED:
                        floats.append((architecture, name, path))
    for architecture in CONFIGS if main_export else ():
        for opset in (14, 17, 18):
            name, path = maker.optimum(architecture, opset)
            if path and opset == 14:
                floats.append((architecture, name, path))
    for architecture, name, path in floats:
        maker.derived(architecture, name, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(args.folder, args.only)
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):  # quantisers leave files in the working folder
        make_all(maker)
    (args.folder / f"not_made_{transformers.__version__}.txt").write_text("".join(line + "\n" for line in maker.refused))
    print(f"{maker.made} exports made, {len(maker.refused)} refused by what makes them")
    if main_export is None:
        print("skipped: exports of optimum, which is not installed")


if __name__ == "__main__":
    main()
