# SPDX-License-Identifier: Apache-2.0
"""Run by a Python that has ONNX Runtime: peer.py ENGINE FILE, where ENGINE is "onnxruntime" or "openvino". Reads inputs
as JSON, {name: rows}, from stdin, and writes the outputs, {name: rows}. "check" runs onnx.checker in place of an engine."""
import json
import os
import sys

sys.path.pop(0)  # this folder


def onnxruntime(path, inputs):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, {i.name: inputs[i.name] for i in session.get_inputs()})))


def openvino(path, inputs):
    import openvino as ov

    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    made = model({i.get_any_name(): inputs[i.get_any_name()] for i in model.inputs})
    return {o.get_any_name(): made[o] for o in model.outputs}


def check(path, inputs):
    import onnx

    onnx.checker.check_model(path, full_check=True)
    return {}


def main():
    import numpy as np

    work = json.load(sys.stdin)
    inputs = {name: np.array(rows, dtype=np.int64) for name, rows in work.items()}
    made = {"onnxruntime": onnxruntime, "openvino": openvino, "check": check}[sys.argv[1]](sys.argv[2], inputs)
    json.dump({name: rows.tolist() for name, rows in made.items()}, sys.stdout)


main()
