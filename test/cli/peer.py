# SPDX-License-Identifier: Apache-2.0
"""Run by a Python that has ONNX Runtime and others. Reads a job a line, {"do": …, "file": …, "with": …}, and answers each
with a line of JSON: what was made, or {"error": …}.

    onnxruntime openvino   runs FILE on {input: rows}; {output: rows}
    check                  onnx.checker
    nodes                  how many nodes FILE has, less its constants
    torchscript dynamo     FILE becomes the export of {"checkpoint": folder} by torch's older or newer exporter
    basic extended transformers dynamic static four_bits
                           FILE becomes {"source": file} rewritten by ONNX Runtime: by one of its levels, by its tool for
                           transformers, or quantised: dynamically, on {"inputs": rows}, or weights to 4 bits
"""
import json
import os
import sys

sys.path.pop(0)  # this folder


def arrays(inputs):
    import numpy as np

    return {name: np.array(rows, dtype=np.int64) for name, rows in inputs.items()}


def onnxruntime(path, inputs):
    import onnxruntime as ort

    inputs = arrays(inputs)

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, {i.name: inputs[i.name] for i in session.get_inputs()})))


def openvino(path, inputs):
    import openvino as ov

    inputs = arrays(inputs)

    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    made = model({i.get_any_name(): inputs[i.get_any_name()] for i in model.inputs})
    return {o.get_any_name(): made[o] for o in model.outputs}


def check(path, inputs):
    import onnx

    onnx.checker.check_model(path, full_check=True)
    return {}


def nodes(path, work):
    import onnx

    return {"nodes": len([n for n in onnx.load(path, load_external_data=False).graph.node if n.op_type != "Constant"])}


def load(checkpoint):
    import torch
    import transformers as models

    kind = json.load(open(checkpoint + "/config.json"))["architectures"][0]
    model = getattr(models, kind).from_pretrained(checkpoint, dtype=torch.float32).eval()
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if kind.startswith("Bert") else [])
    outputs = ["start_logits", "end_logits"] if kind.endswith("Answering") else ["logits"]
    if kind in ("BertModel", "DistilBertModel"):
        outputs = ["last_hidden_state"]
    inputs = {name: torch.ones(2, 7, dtype=torch.long) for name in names}
    return torch, model, inputs, outputs


def torchscript(path, work):
    torch, model, inputs, outputs = load(work["checkpoint"])
    axes = {name: {0: "batch", 1: "sequence"} for name in [*inputs, *outputs]}
    torch.onnx.export(model, (inputs,), path, input_names=list(inputs), output_names=outputs, dynamic_axes=axes,
                      opset_version=work.get("opset", 17), dynamo=False)
    return {}


def dynamo(path, work):
    torch, model, inputs, outputs = load(work["checkpoint"])
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    torch.onnx.export(model, (), path, kwargs=inputs, input_names=list(inputs), output_names=outputs,
                      dynamic_shapes={name: {0: batch, 1: sequence} for name in inputs}, dynamo=True)
    return {}


def levels(level):
    def rewrite(path, work):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = path
        ort.InferenceSession(work["source"], options, providers=["CPUExecutionProvider"])
        return {}

    return rewrite


def transformers(path, work):
    from onnxruntime.transformers import optimizer

    model = optimizer.optimize_model(work["source"], model_type="bert", num_heads=work["heads"],
                                     hidden_size=work["hidden"], opt_level=0)
    model.save_model_to_file(path)
    return {}


def dynamic(path, work):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(work["source"], path, weight_type=QuantType.QInt8, per_channel=True, extra_options={"DefaultTensorType": 1})
    return {}


def static(path, work):
    import numpy
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter([{name: numpy.array(rows, numpy.int64) for name, rows in work["inputs"].items()}])

        def get_next(self):
            return next(self.rows, None)

    quantize_static(work["source"], path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8)
    return {}


def four_bits(path, work):
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(work["source"]), block_size=16, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(path)
    return {}


JOBS = {"onnxruntime": onnxruntime, "openvino": openvino, "check": check, "nodes": nodes, "torchscript": torchscript, "dynamo": dynamo,
        "basic": levels("BASIC"), "extended": levels("EXTENDED"), "transformers": transformers, "dynamic": dynamic,
        "static": static, "four_bits": four_bits}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the engines print is not an answer
    for line in sys.stdin:
        job = json.loads(line)
        try:
            made = {name: rows if isinstance(rows, int) else rows.tolist() for name, rows in JOBS[job["do"]](job["file"], job["with"]).items()}
        except Exception as error:  # an engine's refusal, of any kind
            made = {"error": f"{type(error).__name__}: {error}"[-600:]}
        print(json.dumps(made), file=answers, flush=True)


main()
