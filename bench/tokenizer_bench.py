#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of the tokenizer beside Hugging Face's, one core each, in turns, on the same texts.

    tokenizer_bench.py TOKENIZER_BENCH TOKENIZER.json SENTENCES.tsv GOLDEN.jsonl [--rounds N] [--keep F.jsonl] [--write FILE] [--block NAME]

SENTENCES.tsv has a header and a column of sentences; GOLDEN.jsonl has texts of many languages, which are
sorted by the script most of their letters have. Needs the Python package tokenizers. Prints millions of
tokens a second, best of all rounds, and the ratio to the better of Hugging Face's encode (one by one) and
encode_batch, without and with offsets. Of a Unigram also sentencepiece's, where the packages sentencepiece and protobuf
are there: its own form of the same pieces, scores and character map. Its tokens are its own: it sums floats. What stands in the file
of --keep is not measured again.
"""

import argparse
import base64
import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402

import kept  # noqa: E402
from peers import cpu, write_block  # noqa: E402


def share(text, *ranges):
    letters = [ord(c) for c in text if c.isalpha()]
    return sum(any(a <= c <= b for a, b in ranges) for c in letters) / max(1, len(letters))


def groups(sentences, golden):
    with open(sentences, encoding="utf-8") as file:
        lines = [line.split("\t")[0] for line in file.read().splitlines()[1:]]
    with open(golden, encoding="utf-8") as file:
        texts = [json.loads(line)["text"].replace("\n", " ") for line in file]
    return {
        "english sentences": lines,
        "Korean": [t for t in texts if share(t, (0xAC00, 0xD7A3)) > 0.5],
        "Chinese": [t for t in texts if share(t, (0x4E00, 0x9FFF)) > 0.5],
        "accented Latin": [t for t in texts if share(t, (0xC0, 0x24F), (0x1E00, 0x1EFF)) > 0.03],
        "all languages": texts,
    }


def official(tokenizer, texts, with_offsets):
    """Tokens a second of one pass, the better of two ways."""
    best = 0
    for batch in (False, True):
        begin = time.process_time()
        if batch:
            encode = tokenizer.encode_batch if with_offsets else tokenizer.encode_batch_fast
            encodings = encode(texts)
        else:
            encodings = [tokenizer.encode(t) for t in texts]
        taken = time.process_time() - begin
        best = max(best, sum(len(e) for e in encodings) / taken)
    return best


def sentencepiece_of(path):
    """sentencepiece with the pieces of a tokenizer.json, or None."""
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    if settings["model"]["type"] != "Unigram":
        return None
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2 as messages
    except ImportError as missing:
        print(f"without sentencepiece: {missing}")
        return None
    made = messages.ModelProto()
    made.trainer_spec.model_type = messages.TrainerSpec.UNIGRAM
    made.trainer_spec.unk_id = settings["model"]["unk_id"]
    normalizer = settings["normalizer"]
    for part in normalizer.get("normalizers", [normalizer]):
        if part["type"] == "Precompiled":
            made.normalizer_spec.precompiled_charsmap = base64.b64decode(part["precompiled_charsmap"])
    special = {token["content"] for token in settings["added_tokens"]}
    kinds = messages.ModelProto.SentencePiece
    for i, (piece, score) in enumerate(settings["model"]["vocab"]):
        kind = kinds.UNKNOWN if i == settings["model"]["unk_id"] else kinds.CONTROL if piece in special else kinds.NORMAL
        made.pieces.add(piece=piece, score=score, type=kind)
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(made.SerializeToString())
    return processor


def rate_of_sentencepiece(processor, texts):
    """Tokens a second of one pass."""
    begin = time.process_time()
    found = processor.EncodeAsIds(texts)
    return sum(len(ids) for ids in found) / (time.process_time() - begin)


def ours(program, path, file):
    return json.loads(subprocess.run([program, path, file, "0.2"], capture_output=True, check=True).stdout)


def measure(args, tokenizer, peer, texts):
    """The best rates of all rounds, by their names."""
    best = {}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(t + "\n" for t in texts))
        file.flush()
        for _ in range(args.rounds):
            found = ours(args.program, args.tokenizer, file.name)
            load = found.pop("load_ms")
            found |= {"hf_ids": official(tokenizer, texts, False), "hf_offsets": official(tokenizer, texts, True)}
            if peer:
                found["sentencepiece"] = rate_of_sentencepiece(peer, texts)
            best = {key: max(best.get(key, 0), value) for key, value in found.items()} | {"load_ms": min(best.get("load_ms", load), load)}
    return best


def table_row(name, best):
    rates = [best[k] for k in ("hf_ids", "hf_offsets", "ids_warm", "ids_fresh", "ids_none", "offsets_warm", "offsets_none")]
    ratios = [best["ids_warm"] / best["hf_ids"], best["ids_none"] / best["hf_ids"], best["offsets_warm"] / best["hf_offsets"]]
    cells = [name, str(best["tokens"]), *(f"{rate / 1e6:.2f}" for rate in rates), *(f"{r:.1f}" if r < 20 else f"{r:.0f}" for r in ratios)]
    if "sentencepiece" in best:
        cells += [f"{best['sentencepiece'] / 1e6:.2f}", f"{best['ids_none'] / best['sentencepiece']:.1f}"]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tokenizer")
    parser.add_argument("sentences")
    parser.add_argument("golden")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--write", help="page whose block is replaced")
    parser.add_argument("--block", default="tokenizer")
    args = parser.parse_args()
    known, wanted = kept.Kept(args.keep), groups(args.sentences, args.golden)
    missing = [name for name in wanted if not known.find(group=name, block=args.block)]
    if missing:
        tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        peer = sentencepiece_of(args.tokenizer)
    for name in missing:
        known.add(measure(args, tokenizer, peer, wanted[name]), group=name, block=args.block, cpu=cpu())
    found = [known.find(group=name, block=args.block)[0] for name in wanted]
    spm = " sentencepiece ids | × ids no cache |" if "sentencepiece" in found[0] else ""
    lines = [
        "Command: `bench/tokenizer_bench.py build/bench/tokenizer_bench tokenizer.json SENTENCES.tsv GOLDEN.jsonl`",
        "",
        f"CPU: {found[0]['cpu']}, one core. Millions of tokens per second.",
        "",
        "| texts | tokens | HF ids | HF offsets | ids warm | ids new cache | ids no cache | offsets warm | offsets no cache "
        "| × ids warm | × ids no cache | × offsets warm |" + spm,
        "|---" * (14 if spm else 12) + "|",
        *(table_row(name, best) for name, best in zip(wanted, found)),
    ]
    print("\n".join(lines))
    if args.write:
        write_block(args.write, args.block, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
