#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python server that bench/serve.py compares with: FastAPI, the tokenizers library and ONNX Runtime on an INT8 model.

usage: serve_peer.py make CHECKPOINT OUT      with a Python that has what bench/engines.py needs
       serve_peer.py serve OUT --port N [--threads N] [--workers N]
                                              with a Python that has fastapi, uvicorn, onnxruntime, tokenizers, numpy

OUT holds model.onnx (ONNX Runtime's fusions, dynamic INT8), tokenizer.json and labels.json. Each of the workers is a process
with a session of its own. POST /predict {"inputs": "…"} answers as Text Embeddings Inference does.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys


def make(checkpoint, out):
    import engines
    out.mkdir(parents=True, exist_ok=True)
    args = argparse.Namespace(checkpoint=checkpoint, threads=1)
    engines.export_onnx(checkpoint, out)
    engines.ort_int8(args, out)
    (out / "fused-int8.onnx").replace(out / "model.onnx")
    for name in ("plain.onnx", "fused.onnx"):
        (out / name).unlink()
    shutil.copy(pathlib.Path(checkpoint) / "tokenizer.json", out)
    config = json.loads((pathlib.Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    (out / "labels.json").write_text(json.dumps([config["id2label"][str(i)] for i in range(len(config["id2label"]))]), encoding="utf-8")


def make_app(folder, threads):
    import fastapi
    import numpy
    import onnxruntime
    import pydantic
    from tokenizers import Tokenizer
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    types = {i.name: numpy.int32 if "int32" in i.type else numpy.int64 for i in session.get_inputs()}
    app = fastapi.FastAPI()

    class Request(pydantic.BaseModel):
        inputs: str

    @app.post("/predict")
    async def predict(request: Request):
        ids = numpy.array([tokenizer.encode(request.inputs).ids])
        feed = {name: (ids if "ids" in name else numpy.ones_like(ids)).astype(kind) for name, kind in types.items()}
        logits = session.run(None, feed)[0][0]
        scores = numpy.exp(logits - logits.max())
        scores /= scores.sum()
        return [{"score": float(scores[i]), "label": labels[i]} for i in numpy.argsort(-scores)]

    @app.get("/health")
    async def health():
        return {}
    return app


def peer():
    """What each of uvicorn's workers calls."""
    return make_app(pathlib.Path(os.environ["SERVE_PEER_FOLDER"]), int(os.environ["SERVE_PEER_THREADS"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "serve"])
    parser.add_argument("source")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--port", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    if args.what == "make":
        make(args.source, pathlib.Path(args.out))
        return
    import uvicorn
    os.environ["SERVE_PEER_FOLDER"], os.environ["SERVE_PEER_THREADS"] = args.source, str(args.threads)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    uvicorn.run("serve_peer:peer", factory=True, host="127.0.0.1", port=args.port, workers=args.workers, log_level="warning",
                access_log=False)


if __name__ == "__main__":
    main()
