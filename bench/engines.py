# SPDX-License-Identifier: Apache-2.0
"""The engines people use today: a model in each one's best form, and a call that runs a padded batch.

Needs torch, transformers, onnx and onnxruntime for any of them; openvino and nncf, ctranslate2 for theirs.
"""
import csv
import pathlib
import subprocess
import sys


def export_onnx(checkpoint, work):
    """torch's plain export, and ONNX Runtime's fused form of it."""
    import torch
    from transformers import AutoModelForSequenceClassification
    plain, fused = work / "plain.onnx", work / "fused.onnx"
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").float().eval()
    ids = torch.randint(100, 1000, (1, 16))
    torch.onnx.export(model, (ids, torch.ones_like(ids)), str(plain), opset_version=17, dynamo=False,
                      input_names=["input_ids", "attention_mask"], output_names=["logits"],
                      dynamic_axes={name: {0: "b", 1: "s"} for name in ("input_ids", "attention_mask")})
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions
    config = model.config
    optimizer.optimize_model(str(plain), model_type="bert", num_heads=config.n_heads, hidden_size=config.dim,
                             optimization_options=FusionOptions("bert"), opt_level=0).save_model_to_file(str(fused))


def calibration(checkpoint, texts):
    """Batches of one text for quantisers that need data; random ids without texts."""
    import numpy
    if not texts:
        rows = [numpy.random.default_rng(i).integers(1000, 30000, (1, 64)) for i in range(32)]
    else:
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(f"{checkpoint}/tokenizer.json")
        tokenizer.no_padding()
        tokenizer.enable_truncation(128)
        with open(texts, encoding="utf-8") as file:
            all_texts = [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
        rows = [numpy.array([tokenizer.encode(t).ids]) for t in all_texts[::max(1, len(all_texts) // 128)][:128]]
    return [{"input_ids": ids, "attention_mask": numpy.ones_like(ids)} for ids in rows]


# ---- One function an engine: prepares its form in `work`, and returns the call. ----

def ort(args, work, path=None):
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = args.threads, 3
    session = onnxruntime.InferenceSession(str(path or work / "fused.onnx"), options, providers=["CPUExecutionProvider"])
    types = {i.name: numpy.int32 if "int32" in i.type else numpy.int64 for i in session.get_inputs()}
    return lambda ids, mask: session.run(None, {n: (ids if "ids" in n else mask).astype(t) for n, t in types.items()})


def ort_int8(args, work):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    path = work / "fused-int8.onnx"
    quantize_dynamic(str(work / "fused.onnx"), str(path), weight_type=QuantType.QInt8, per_channel=True,
                     extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT})
    return ort(args, work, path)


def ort_int4(args, work):
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    path = work / "fused-int4.onnx"
    quantizer = MatMulNBitsQuantizer(onnx.load(str(work / "fused.onnx")), block_size=128, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))
    return ort(args, work, path)


def openvino(args, work, precision="f32", model=None):
    import openvino as ov
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    request = ov.Core().compile_model(model or str(work / "plain.onnx"), "CPU", config).create_infer_request()
    return lambda ids, mask: request.infer([ids, mask])


def ort_static(args, work):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    path = work / "plain-static.onnx"

    class Reader(CalibrationDataReader):
        rows = iter(calibration(args.checkpoint, args.calibration))

        def get_next(self):
            return next(self.rows, None)
    quantize_static(str(work / "plain.onnx"), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                    extra_options={"MatMulConstBOnly": True})
    return ort(args, work, path)


def saved_openvino(args, work, name, model):
    """Compiled from its file, as a user has it: other constants as float16."""
    import openvino as ov
    ov.save_model(model, str(work / f"{name}.xml"))
    return openvino(args, work, None, str(work / f"{name}.xml"))


def openvino_int8(args, work):
    import nncf
    import openvino as ov
    rows = calibration(args.checkpoint, args.calibration)
    model = nncf.quantize(ov.Core().read_model(str(work / "plain.onnx")), nncf.Dataset(rows),
                          model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))
    return saved_openvino(args, work, "openvino-int8", model)


def openvino_int4(args, work):
    import nncf
    import openvino as ov
    model = nncf.compress_weights(ov.Core().read_model(str(work / "plain.onnx")), mode=nncf.CompressWeightsMode.INT4_SYM,
                                  group_size=128, ratio=1.0)
    return saved_openvino(args, work, "openvino-int4", model)


def openvino_int4_awq(args, work):
    import nncf
    import openvino as ov
    model = nncf.compress_weights(ov.Core().read_model(str(work / "plain.onnx")), mode=nncf.CompressWeightsMode.INT4_SYM,
                                  group_size=64, ratio=1.0, awq=True, scale_estimation=True,
                                  dataset=nncf.Dataset(calibration(args.checkpoint, args.calibration)))
    return saved_openvino(args, work, "openvino-int4-awq", model)


def ctranslate2_int8(args, work):
    import ctranslate2
    import numpy
    converter = pathlib.Path(sys.executable).parent / "ct2-transformers-converter"
    subprocess.run([str(converter), "--model", args.checkpoint, "--output_dir", str(work / "ct2"), "--force"], check=True,
                   capture_output=True)
    encoder = ctranslate2.Encoder(str(work / "ct2"), device="cpu", compute_type="int8", intra_threads=args.threads,
                                  inter_threads=1)

    def run(ids, mask):  # the encoder alone: it has no classifier
        rows = [row[:int(real.sum())].tolist() for row, real in zip(ids, mask)]
        return numpy.asarray(encoder.forward_batch(rows).last_hidden_state)
    return run


def torch_engine(args, _, bf16=False):
    import torch
    from transformers import AutoModelForSequenceClassification
    torch.set_num_threads(args.threads)
    model = AutoModelForSequenceClassification.from_pretrained(args.checkpoint, attn_implementation="sdpa").float().eval()
    model = model.to(torch.bfloat16) if bf16 else model

    def run(ids, mask):
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask))
    return run


# key of --peers, name in tables, maker
PEERS = {
    "torch": ("PyTorch fp32", torch_engine),
    "torch-bf16": ("PyTorch bf16", lambda args, work: torch_engine(args, work, True)),
    "ort": ("ONNX Runtime fp32", ort),
    "ort-int8": ("ONNX Runtime int8", ort_int8),
    "ort-static": ("ONNX Runtime int8, static", ort_static),
    "ort-int4": ("ONNX Runtime int4", ort_int4),
    "openvino": ("OpenVINO fp32", openvino),
    "openvino-bf16": ("OpenVINO bf16", lambda args, work: openvino(args, work, "bf16")),
    "openvino-int8": ("OpenVINO int8", openvino_int8),
    "openvino-int4": ("OpenVINO int4", openvino_int4),
    "openvino-int4-awq": ("OpenVINO int4, AWQ and scale estimation", openvino_int4_awq),
    "ctranslate2-int8": ("CTranslate2 int8", ctranslate2_int8),
}


# Files of a form that is measured with its size.
FORMS = {"ort": "fused.onnx", "ort-int8": "fused-int8.onnx", "ort-static": "plain-static.onnx", "ort-int4": "fused-int4.onnx",
         "openvino-int8": "openvino-int8.*", "openvino-int4": "openvino-int4.*", "openvino-int4-awq": "openvino-int4-awq.*"}


def form_bytes(key, work):
    return sum(path.stat().st_size for path in work.glob(FORMS[key]))


def load(args, work):
    """The peers that args.peers names and that can be loaded, by their names."""
    engines = {}
    keys = [key for key in args.peers.split(",") if key]
    if keys:
        export_onnx(args.checkpoint, work)
    for key in keys:
        name, make = PEERS[key]
        try:
            engines[name] = make(args, work)
        except Exception as error:  # a peer that cannot be loaded is reported, not fatal
            print(f"{name}: left out: {str(error)[:200]}", file=sys.stderr)
    return engines
