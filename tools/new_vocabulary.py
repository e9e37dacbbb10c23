#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: new_vocabulary.py CHECKPOINT TEXTS -o FOLDER [--column NAME] [--size N]

Makes a checkpoint for another language: the encoder of CHECKPOINT (a BERT or DistilBERT folder) with a WordPiece
vocabulary learned from TEXTS (a TSV file with a header, or plain lines). Pieces that the old vocabulary has keep their
rows of the word table; the others begin at random numbers like them, and only training gives them a meaning. Case and
accents are kept. Needs numpy, safetensors and tokenizers."""
import argparse
import json
import pathlib
import shutil

import numpy
import safetensors.numpy
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def read(path, column):
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    head = lines[0].split("\t")
    if column not in head:
        return lines
    return [line.split("\t")[head.index(column)] for line in lines[1:]]


def learn(texts, size):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ids = [tokenizer.token_to_id(piece) for piece in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids[0]), ("[CLS]", ids[1]))
    return tokenizer


def table_name(tensors):
    names = [name for name in tensors if name.endswith("embeddings.word_embeddings.weight")]
    if len(names) != 1:
        raise SystemExit("the checkpoint has no word table of a BERT or DistilBERT")
    return names[0]


def new_table(old, old_pieces, pieces):
    """Rows of the old table where it has the piece, else numbers with the mean and deviation of its columns."""
    old = old.astype(numpy.float32)
    random = numpy.random.default_rng(0)
    table = random.normal(old.mean(0), old.std(0), (len(pieces), old.shape[1])).astype(numpy.float32)
    for row, piece in enumerate(pieces):
        if piece in old_pieces:
            table[row] = old[old_pieces[piece]]
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("texts")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--column", default="sentence")
    parser.add_argument("--size", type=int, default=16000)
    args = parser.parse_args()
    tokenizer = learn(read(args.texts, args.column), args.size)
    vocab = tokenizer.get_vocab()
    pieces = sorted(vocab, key=vocab.get)
    tensors = safetensors.numpy.load_file(args.checkpoint / "model.safetensors")
    old = tokenizers.Tokenizer.from_file(str(args.checkpoint / "tokenizer.json")).get_vocab()
    name = table_name(tensors)
    tensors[name] = new_table(tensors[name], old, pieces)
    args.output.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, args.output / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((args.checkpoint / "config.json").read_text())
    config["vocab_size"] = len(pieces)
    (args.output / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizer.save(str(args.output / "tokenizer.json"))
    (args.output / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (args.output / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "BertTokenizerFast", "do_lower_case": False, "strip_accents": False,
        "model_max_length": config.get("max_position_embeddings", 512), "pad_token": "[PAD]", "unk_token": "[UNK]",
        "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}, indent=1) + "\n")
    kept = sum(piece in old for piece in pieces)
    print(f"{args.output}: {len(pieces)} pieces, {kept} of them with the rows that they had")


if __name__ == "__main__":
    main()
