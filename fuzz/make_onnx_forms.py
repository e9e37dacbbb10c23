#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_onnx_forms.py RETORT

Makes the integer, half and fused forms of fuzz/corpus/onnx/bert, which make_onnx.py has made: one file a way in which
quantisers and ONNX Runtime write what the importer reads, and our own exports of integer models. Needs onnx and
onnxruntime."""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.transformers import float16

OUT = pathlib.Path(__file__).parent / "corpus/onnx"


class Ids(CalibrationDataReader):
    def __init__(self):
        names = ["input_ids", "attention_mask", "token_type_ids"]
        self.rows = iter([{name: numpy.ones((1, 3), numpy.int64) for name in names}])

    def get_next(self):
        return next(self.rows, None)


def products(model):
    """The MatMuls by a constant, with their weights."""
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return [(node, tensors[node.input[1]]) for node in model.graph.node
            if node.op_type == "MatMul" and node.input[1] in tensors]


def put(model, name, array, kind=None, dims=None):
    tensor = numpy_helper.from_array(array, name) if kind is None else helper.make_tensor(
        name, kind, dims, array.tobytes(), raw=True)
    model.graph.initializer.append(tensor)
    return name


def codes(shape):
    return (numpy.arange(numpy.prod(shape)) * 7 % 15 - 7).astype(numpy.int8).reshape(shape)


def nibbles(values):
    flat = (values.reshape(-1).astype(numpy.uint8) & 15)
    return flat[0::2] | flat[1::2] << 4


def dequantized(model, block):
    """Every weight by DequantizeLinear: one scale, one a row or column, or one a block of `block`; of 8 and 4 bits."""
    for i, (node, weight) in enumerate(products(model)):
        axis, four, size = i % 2, i % 4 > 1, list(weight.shape)
        w = codes(weight.shape)
        kind = onnx.TensorProto.INT4 if four else onnx.TensorProto.INT8
        shape = [size[axis]]
        if block > 0:
            shape = size.copy()
            shape[axis] = -(-size[axis] // block)
        elif i == 2:
            shape = []
        names = [put(model, f"w{i}", nibbles(w) if four else w, kind, size),
                 put(model, f"s{i}", numpy.full(shape, 0.1, numpy.float32))]
        if i % 3 == 0:
            names.append(put(model, f"z{i}", numpy.zeros(-(-int(numpy.prod(shape)) // (1 + four)), numpy.int8), kind, shape))
        more = {"block_size": block} if block > 0 else {}
        made = helper.make_node("DequantizeLinear", names, [f"d{i}"], f"d{i}", axis=axis, **more)
        model.graph.node.insert(list(model.graph.node).index(node), made)
        node.input[1] = f"d{i}"
    model.opset_import[0].version = 21


def n_bits(model):
    block = 16
    for i, (node, weight) in enumerate(products(model)):
        k, n = weight.shape
        bits, blocks = 4 + 4 * (i % 2), -(-k // block)
        packed = numpy.arange(n * blocks * block * bits // 8, dtype=numpy.uint8)
        names = [node.input[0], put(model, f"b{i}", packed.reshape(n, blocks, -1)),
                 put(model, f"s{i}", numpy.full((n, blocks) if i % 3 else n * blocks, 0.1, numpy.float32))]
        if i % 2 == 0:
            names.append(put(model, f"z{i}", numpy.full(n * (blocks * bits // 8 or 1), 8, numpy.uint8)))
        made = helper.make_node("MatMulNBits", names, node.output, node.name, "com.microsoft", K=k, N=n, bits=bits,
                                block_size=block)
        node.CopyFrom(made)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def save(model, name):
    used = {x for node in model.graph.node for x in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    onnx.save(model, OUT / name)


def optimized(source, name, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(OUT / name)
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    save(onnx.load(OUT / name), name)


def main():
    bert = str(OUT / "bert")
    for name, change in [("axes", lambda m: dequantized(m, 0)), ("blocked", lambda m: dequantized(m, 2)),
                         ("nbits", n_bits)]:
        model = onnx.load(bert)
        change(model)
        save(model, name)
    save(float16.convert_float_to_float16(onnx.load(bert), keep_io_types=True), "half")
    with tempfile.TemporaryDirectory() as folder:
        made = f"{folder}/made.onnx"
        for name, form, channel in [("qdq", QuantFormat.QDQ, True), ("qoperator", QuantFormat.QOperator, False)]:
            quantize_static(bert, made, Ids(), quant_format=form, per_channel=channel, weight_type=QuantType.QInt8)
            save(onnx.load(made), name)
        optimized(bert, "extended", onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
        optimized(str(OUT / "dynamic"), "dynamic-extended", onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
        quantize_dynamic(str(OUT / "fused"), made, weight_type=QuantType.QInt8,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
        save(onnx.load(made), "fused-dynamic")
    packages = OUT.parent / "package"
    for name, package, *options in [("own-int8", "distilbert-classify-int8"),
                                    ("own-int8-ort", "distilbert-classify-int8", "--for", "ort"),
                                    ("own-int4", "distilbert-classify-int4"),
                                    ("own-nbits", "distilbert-wide-3bits"),
                                    ("own-blocked", "distilbert-wide-3bits", "--standard")]:
        subprocess.run([sys.argv[1], "export", packages / package, "-o", OUT / name, *options], check=True)


main()
