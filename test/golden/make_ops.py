# SPDX-License-Identifier: Apache-2.0
"""Writes ops.txt: every plain operator on small tensors, evaluated by ONNX's reference implementation.

    python make_ops.py > ops.txt

A case is a node line of the graph's text, its inputs (name, dtype, shape, elements), its outputs (the name is =).
MaskRows is no ONNX operator: it is written in numpy here.
"""
import numpy as np
import onnx
from onnx import helper, TensorProto
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(17)
MASK_ID = 103
ONNX_DTYPE = {"f32": TensorProto.FLOAT, "i64": TensorProto.INT64, "i32": TensorProto.INT32, "bool": TensorProto.BOOL}
NAMES = {np.dtype("float32"): "f32", np.dtype("int64"): "i64", np.dtype("int32"): "i32", np.dtype("bool"): "bool"}


def floats(*shape):
    return (rng.integers(-1000, 1000, shape) / 256).astype(np.float32)


def positive(*shape):
    return (rng.integers(1, 1000, shape) / 256).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def scalar(value, dtype=np.int64):
    return np.array(value, dtype)


def line(name, x):
    number = (lambda v: "%.9g" % v) if x.dtype == np.float32 else (lambda v: "%d" % v)
    shape = ", ".join(map(str, x.shape))
    return " ".join([name, NAMES[x.dtype], f"[{shape}]"] + [number(v) for v in x.ravel()])


def case(op, inputs, text="", outputs=1, absent=(), **attributes):
    """`text`: attributes as the graph's text has them; keywords: as ONNX has them."""
    names = ["_" if i in absent else "abcdefgh"[i] for i in range(len(inputs))]
    node = helper.make_node(op, ["" if n == "_" else n for n in names], [f"y{k}" for k in range(outputs)], **attributes)
    graph = helper.make_graph([node], "case", [helper.make_tensor_value_info(n, ONNX_DTYPE[NAMES[x.dtype]], x.shape)
                                               for n, x in zip(names, inputs) if n != "_"],
                              [helper.make_empty_tensor_value_info(f"y{k}") for k in range(outputs)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    results = ReferenceEvaluator(model).run(None, {n: x for n, x in zip(names, inputs) if n != "_"})
    show(op, names, inputs, text, results)


def show(op, names, inputs, text, results):
    print(f"\nnode = {op}({', '.join(names)}){' ' + text if text else ''}")
    for n, x in zip(names, inputs):
        if n != "_":
            print(line(n, x))
    for y in results:
        print(line("=", np.asarray(y)))


def moves():
    x = floats(2, 3, 4)
    case("Identity", [floats(3)])
    case("Cast", [np.array([-1.5, 0.0, 0.25, 7.9], np.float32)], "dtype=i64", to=TensorProto.INT64)
    case("Cast", [ints(-3, 0, 2)], to=TensorProto.FLOAT)
    case("Cast", [ints(-3, 0, 2)], "dtype=bool", to=TensorProto.BOOL)
    case("Cast", [np.array([True, False])], "dtype=i32", to=TensorProto.INT32)
    case("Shape", [x])
    case("Gather", [x, ints(-1, 0)], "axis=1", axis=1)
    case("Gather", [floats(5, 3), np.array([[4, 0], [2, 2]], np.int64)], axis=0)
    case("Gather", [x, scalar(1)], "axis=-2", axis=-2)
    case("Unsqueeze", [floats(2, 3), ints(0, -1)])
    case("Squeeze", [floats(1, 3, 1), ints(2)])
    case("Slice", [x, ints(1), ints(3), ints(1)])
    case("Slice", [x, ints(0, -1), ints(2, -4), ints(0, 2), ints(1, -2)])
    case("Slice", [x, ints(0), ints(1)])
    case("Slice", [floats(5), ints(3), ints(2**63 - 1), ints(0), ints(1)])
    case("Concat", [floats(2, 1), floats(2, 3), floats(2, 2)], "axis=-1", axis=-1)
    case("Concat", [ints(2), ints(-1, 12)], axis=0)
    case("Split", [floats(2, 6)], "axis=1", outputs=3, axis=1)
    case("Split", [floats(6, 2), ints(1, 2, 3)], outputs=3, axis=0)
    case("Reshape", [x, ints(0, -1, 2)])
    case("Transpose", [floats(2, 3, 2, 2)], "perm=[0, 2, 3, 1]", perm=[0, 2, 3, 1])
    case("Expand", [floats(3, 1), ints(2, 1, 4)])
    ids = np.array([[101, 103, 5], [103, 103, 0]], np.int64)
    hidden = floats(2, 3, 2)
    show("MaskRows", ["a", "b"], [hidden, ids], "", [hidden[ids == MASK_ID]])


def elements():
    case("Equal", [ints(1, 2, 3), scalar(2)])
    case("Equal", [np.array([0.0, -0.0, np.nan], np.float32), scalar(0, np.float32)])
    case("Where", [np.array([[True], [False]]), floats(2, 3), scalar(-np.inf, np.float32)])
    for op in ("Add", "Sub", "Mul", "Div", "Max"):
        case(op, [floats(2, 3), positive(3)])
        case(op, [np.array([[7, -7], [0, 5]], np.int64), ints(2, -3)])
    case("Add", [floats(2, 1, 3), floats(4, 1)])
    case("Pow", [positive(4), scalar(3, np.float32)])
    case("Sqrt", [positive(5)])
    case("Erf", [floats(6)])
    case("Tanh", [floats(6)])
    case("Relu", [floats(6)])


def axes():
    x = floats(2, 3, 4)
    case("Softmax", [x], "axis=-1", axis=-1)
    case("Softmax", [x], "axis=1", axis=1)
    case("ReduceMean", [x], "axis=-1 keepdims=1", axes=[-1], keepdims=1)
    case("ReduceMax", [x], "axis=1", axes=[1], keepdims=0)
    case("ReduceSum", [x, ints(0, 2)], keepdims=0)
    case("ReduceSum", [x, ints(1)], "keepdims=1", keepdims=1)
    case("LayerNormalization", [floats(2, 4), floats(4), floats(4)], "epsilon=9.99999996e-13",
         axis=-1, epsilon=float(np.float32(1e-12)))


def products():
    case("MatMul", [floats(2, 3), floats(3, 4)])
    case("MatMul", [floats(2, 1, 2, 3), floats(2, 3, 2)])
    case("MatMul", [floats(2, 2, 3), floats(3, 2)])
    case("Gemm", [floats(2, 3), floats(3, 2), floats(2)])
    case("Gemm", [floats(2, 3), floats(4, 3), floats(2, 1)], "trans_b=1", transB=1)


print(f"# onnx {onnx.__version__}'s reference evaluator, opset 17")
moves()
elements()
axes()
products()
