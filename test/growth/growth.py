#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: growth.py GROWTH_READ

Reads inputs of n, 2n and 4n under callgrind. With each doubling the instructions may at most triple: what takes time
in proportion to its input doubles, what compares everything with everything quadruples. Prints TAP. Exits with 77 where
valgrind is not installed."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import inputs
from inputs import NORMALIZED, SPACES, WORDS, names, safetensors, text, tokenizer

BASE = tokenizer()
JAMO = "\uac01"  # one that is three

# name, reader (of growth_read.c), n, the input of size n, and what the reader needs besides (or who makes that)
ROWS = [
    ("json: members of an object", "json", 1000, lambda n: text({name: 0 for name in names(n)}), None),
    ("json: values of arrays", "json", 1000, lambda n: text([[name] for name in names(n)]), None),
    ("safetensors: tensors", "safetensors", 500,
     lambda n: safetensors({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names(n)}), None),
    ("safetensors: metadata", "safetensors", 1000,
     lambda n: safetensors({"__metadata__": {name: "" for name in names(n)}}), None),
    ("torch: tensors and entries", "torch", 300, inputs.torch, None),
    ("hdf5: links in a heap", "hdf5", 300, inputs.hdf5, None),
    ("tensorflow: entries", "bundle", 1000, inputs.bundle_entries, None),
    ("tensorflow: blocks in blocks", "bundle", 50, inputs.bundle_blocks, None),
    ("onnx: nodes and tensors", "onnx", 500, inputs.onnx, None),
    ("onnx: names chosen by a hash", "onnx", 500, lambda n: inputs.onnx(n, inputs.flood(n)), None),
    ("onnx: external files", "onnx-file", 250, inputs.onnx_files, None),
    ("a sharded index", "folder", 500, inputs.sharded, None),
    ("modules.json and prompts", "package", 500, inputs.package, None),
    ("import: layers", "import", 20, inputs.checkpoint, None),
    ("config: labels", "config", 1000, inputs.bert, None),
    ("vocab.txt: pieces", "vocab", 1000, lambda n: "\n".join([*WORDS[:8], *names(n)]).encode(), None),
    ("tokenizer.json: pieces", "tokenizer", 1000, lambda n: tokenizer(names(n)), None),
    ("tokenizer.json: pieces chosen by a hash", "tokenizer", 1000, lambda n: tokenizer(inputs.flood(n)), None),
    ("tokenizer.json: merges", "tokenizer", 1000, lambda n: inputs.bpe(inputs.merges(n), inputs.merge_parts(n)), None),
    ("tokenizer.json: pieces of BPE", "tokenizer", 1000, lambda n: inputs.bpe((), names(n)), None),
    ("encode: a long word to be merged", "encode", 2000, lambda n: b"a" * n, inputs.bpe(inputs.DOUBLES)),
    ("encode: a long word of many ways to merge", "encode", 2000, lambda n: b"aab" * n, inputs.bpe(inputs.TWICE)),
    ("encode: a long word that nothing merges", "encode", 2000, lambda n: b"ab" * n, inputs.bpe(inputs.DOUBLES)),
    ("encode: words cut in five ways", "encode", 1000, lambda n: b"a1, aab\n  " * n, inputs.bpe(inputs.DOUBLES, **inputs.SPLITS)),
    ("encode: spaces cut in five ways", "encode", 2000, lambda n: b" " * n, inputs.bpe(inputs.DOUBLES, **inputs.SPLITS)),
    ("encode: trimmed white space that tokens take", "encode", 1000, lambda n: b" \t" * n, inputs.bpe(**inputs.TRIMMED)),
    ("tokenizer.json: pieces of Unigram", "tokenizer", 1000, lambda n: inputs.unigram(names(n)), None),
    ("encode: a long word of Unigram", "encode", 2000, lambda n: b"ab" * n, inputs.unigram()),
    ("encode: a long word that Unigram does not know", "encode", 2000, lambda n: b"xyz" * n, inputs.unigram(byte_fallback=True)),
    ("encode: marks that compose", "encode", 2000, lambda n: ("a" + "\u0323\u0301" * n).encode(), inputs.unigram(normalizer=inputs.steps())),
    ("encode: spaces that are replaced", "encode", 2000, lambda n: b" a  " * n, inputs.unigram(normalizer=inputs.steps())),
    ("tokenizer.json: added tokens", "tokenizer", 500, inputs.added_tokens, None),
    ("tokenizer_config.json: added_tokens_decoder", "vocab-config", 500,
     lambda n: text({"added_tokens_decoder": {str(i): {"content": f"[{i}]", "special": True} for i in range(n)}}), None),
    ("tokenizer_config.json: additional_special_tokens", "vocab-config", 500,
     lambda n: text({"additional_special_tokens": [f"[{i}]" for i in range(n)]}), None),
    ("encode: syllables", "encode", 2000, lambda n: (JAMO * n).encode(), BASE),
    ("encode: syllables apart", "encode", 2000, lambda n: (JAMO + " ").encode() * n, BASE),
    ("encode: marks", "encode", 2000, lambda n: ("a" + "\u0323\u0301" * n).encode(), BASE),
    ("encode: a long word", "encode", 5000, lambda n: b"a" * n, BASE),
    ("encode: long words", "encode", 50, lambda n: (b"a" * 99 + b" ") * n, BASE),
    ("encode: punctuation", "encode", 5000, lambda n: b"[" * n, BASE),
    ("encode: ideographs", "encode", 2000, lambda n: ("\u4e00" * n).encode(), BASE),
    ("encode: malformed bytes", "encode", 5000, lambda n: b"\xe2\x80" * n, BASE),
    ("encode: added tokens", "encode", 2000, lambda n: b"t1 t0" * n, inputs.added_tokens(50)),
    ("encode: white space that added tokens take", "encode", 1000, lambda n: b" \t" * n, tokenizer(added=SPACES)),
    ("encode: white space between added tokens", "encode", 1000, lambda n: b"\t" + b"\n" * n + b" " * n, tokenizer(added=SPACES)),
    ("encode: normalized added tokens", "encode", 1000, lambda n: b" aa" * n, tokenizer(added=NORMALIZED)),
    ("encode: added tokens that begin alike", "encode-text", 500, inputs.alike, lambda n: b"a" * 4 * n),
    ("tag: pieces of one character", "spans", 500, lambda n: b"a" * n, None),
    ("tag: labels that are left out", "ignored", 500, lambda n: b"a" * n, None),
    ("/tokenize: syllables", "serve-tokenize", 500, lambda n: (JAMO + " ").encode() * n, BASE),
    ("/tokenize: added tokens beyond the vocabulary", "serve-tokenize-text", 500, inputs.added_tokens,
     lambda n: b" ".join(b"t%d" % i for i in range(n))),
    ("/predict: a body of many texts", "serve-json", 2000, lambda n: text({"inputs": [[name] for name in names(n)]}), None),
    ("graph: a chain", "graph", 500, lambda n: inputs.chain(n, "Relu({})"), None),
    ("graph: constants", "graph", 1000, inputs.constants, None),
    ("graph: names chosen by a hash", "graph", 1000, lambda n: inputs.constants(n, inputs.flood(n)), None),
    ("graph: wide", "graph", 300, inputs.wide, None),
    ("info: constants", "info", 1000, inputs.constants, None),
    ("info: wide", "info", 300, inputs.wide, None),
    ("svg: a chain", "draw", 300, lambda n: inputs.chain(n, "Relu({})"), None),
    ("svg: wide", "draw", 100, inputs.wide, None),
    ("optimize: a chain of Relu", "optimize", 300, lambda n: inputs.chain(n, "Relu({})"), None),
    ("optimize: a chain of Add", "optimize", 300, lambda n: inputs.chain(n, "Add({}, one)"), None),
    ("optimize: a chain of Identity", "optimize", 300, lambda n: inputs.chain(n, "Identity({})"), None),
    ("optimize: constants", "optimize", 500, inputs.constants, None),
    ("optimize: wide", "optimize", 200, inputs.wide, None),
    ("optimize: layers", "optimize", 200, inputs.layers, None),
    ("optimize: one matrix that many transpose", "optimize", 200, inputs.gemms, None),
    ("export: layers", "export", 200, inputs.layers, None),
    ("export: wide", "export", 200, inputs.wide, None),
    ("prune-rows: many selections", "prune", 150, inputs.selects, None),
    ("narrow: many products", "narrow", 500, inputs.narrow, None),
    ("quantize: many matrices", "quantize", 300, inputs.matrices, None),
    ("plan: a chain", "plan", 9000, lambda n: inputs.chain(n, "Relu({})"), None),
    ("plan: wide", "plan", 5000, inputs.wide, None),
    ("data: lines of a table", "data.tsv", 500, lambda n: b"sentence\tlabel\n" + b"a b c\tlabel 1\n" * n, inputs.bert(3)),
    ("data: columns of a table", "data.tsv", 1000, lambda n: b"a\t" * n + b"sentence\tlabel\n" + b"a\t" * n + b"b\t1\n", inputs.bert(3)),
    ("data: records of CSV", "data.csv", 500, lambda n: b"sentence,label\n" + b'"a ""b"", c",label 1\r\n' * n, inputs.bert(3)),
    ("data: columns of CSV", "data.csv", 1000, lambda n: b"a," * n + b"sentence,label\n" + b"a," * n + b"b,1\n", inputs.bert(3)),
    ("data: quotes and lines in a field of CSV", "data.csv", 2000, lambda n: b'sentence,label\n"' + b'""\n' * n + b'",1\n', inputs.bert(3)),
    ("data: objects of JSON lines", "data.jsonl", 300, lambda n: b'{"sentence": "a b", "label": 1}\n' * n, inputs.bert(3)),
    ("data: members of JSON lines", "data.jsonl", 500,
     lambda n: (text({**dict.fromkeys(names(n), 0), "sentence": "a", "label": 1}) + b"\n") * 2, inputs.bert(3)),
    ("data: empty lines of JSON lines", "data.jsonl", 2000, lambda n: b'{"sentence": "a", "label": 1}\n' + b" \n" * n + b'{"sentence": "b", "label": 0}', inputs.bert(3)),
    ("data: sentences of CoNLL", "data.conll", 500, lambda n: b"a O\n\n" * n, inputs.bert(3)),
    ("data: words of a sentence of CoNLL", "data.conll", 500, lambda n: b"a O\n" * n, inputs.bert(3)),
    ("data: SQuAD", "data.json", 300, inputs.squad, inputs.bert(3)),
    ("data: labels, each for a line", "data.tsv", 300, lambda n: b"sentence\tlabel\n" + b"".join(b"a\tlabel %d\n" % i for i in range(n)), inputs.bert),
    ("collect: labels, each for a line", "collect.tsv", 300, lambda n: b"sentence\tlabel\n" + b"".join(b"a\tlabel %d\n" % i for i in range(n)), None),
    ("collect: labels chosen by a hash", "collect.tsv", 300, lambda n: b"sentence\tlabel\n" + b"".join(b"a\t%s\n" % name.encode() for name in inputs.flood(n)), None),
    ("collect: labels of a text", "collect.jsonl", 300, lambda n: text({"text": "a", "labels": names(n)}) + b"\n" + text({"text": "b", "labels": []}), None),
    ("collect: lists of 0 and 1", "collect.jsonl", 300, lambda n: b'{"text": "a", "labels": [0, 1]}\n' * n, None),
    ("collect: a column for each label", "collect-columns.csv", 300,
     lambda n: ",".join(["text", *names(n)]).encode() + b"\na" + b",1" * n + b"\n", lambda n: ",".join(names(n)).encode() + b"\0"),
    ("examples: texts", "examples.jsonl", 200, lambda n: b'{"text": "a b c", "labels": ["x", "y"]}\n' * n + b'{"text": "a", "labels": []}\n', BASE),
]


def put(path, made):
    """Bytes become a file, a dictionary of names a folder."""
    if isinstance(made, bytes):
        path.write_bytes(made)
        return
    path.mkdir()
    for name, data in made.items():
        (path / name).write_bytes(data)


def write(folder):
    """Inputs and a list of them: reader, file, file of what it needs besides."""
    lines = []
    for i, (_, reader, n, make, besides) in enumerate(ROWS):
        for size in (n, 2 * n, 4 * n):
            path = folder / f"{i}-{size}"
            put(path, make(size))
            extra = "-"
            if besides is not None:
                extra = path.with_suffix(".besides")
                extra.write_bytes(besides(size) if callable(besides) else besides)
            lines.append(f"{reader}\t{path}\t{extra}\n")
    (folder / "list").write_text("".join(lines))


def counts(program, folder):
    """Instructions of each input in the list."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=measured", "--dump-after=measured", f"--callgrind-out-file={folder}/counts",
               program, folder / "list"]
    # Meson has malloc fill its blocks, which counts for more than what is measured where these are moved.
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MALLOC_PERTURB_": "0"})
    if done.returncode != 0:
        sys.exit(f"growth_read: {done.stdout}{done.stderr}")
    files = sorted(folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
    return [int(re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M).group(1)) for path in files]


def main():
    if shutil.which("valgrind") is None:
        print("1..0 # SKIP valgrind is not installed")
        return 77
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write(folder)
        found = counts(sys.argv[1], folder)
    failed = 0
    print(f"1..{len(ROWS)}")
    for i, row in enumerate(ROWS):
        one, two, four = found[3 * i:3 * i + 3]
        good = max(two / one, four / two) <= 3
        failed += not good
        print(f"{'ok' if good else 'not ok'} {i + 1} - {row[0]}: {one}, {two}, {four} instructions for {row[2]} and its doubles")
    return 1 if failed else 0


sys.exit(main())
