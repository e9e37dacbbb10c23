#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/golden/checkpoints: small random models for each family, head, file format and option, each with
golden.json, what transformers (eager attention, float32) computes for a few sequences of token ids.

    python tools/make_checkpoints.py [FOLDER]     needs torch, transformers 5, sentence-transformers 6, peft, h5py

golden.json: {"ids": [[...]], "types": [[...]], "outputs": [[...]]}, and "texts" where the ids are what the tokenizer makes of them. outputs: classify and embed have a row a
sequence, tag and answer a row a token (sequences one after the other), fill a row a [MASK] token.
TensorFlow's forms are written here as TensorFlow 2.21 and transformers 4.48 (the last with TF classes) write them.
The output is the same each time, but for torch's legacy files, whose storages are named by their addresses.
"""
import json
import pathlib
import shutil
import struct
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

transformers.logging.set_verbosity_error()

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
V3 = dict(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, max_relative_positions=-1, share_att_key=True,
          norm_rel_ebd="layer_norm", position_biased_input=False, type_vocab_size=0, layer_norm_eps=1e-7)  # DeBERTa-v3's settings
KLUE = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]  # klue/roberta's order
WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()
VOCAB = (
    SPECIAL
    + list("abcdefghijklmnopqrstuvwxyz")
    + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz"]
    + list(".,!?'-")
    + list("0123456789")
    + WORDS
    + ["##ing", "##ed", "##er", "##ly", "##es", "##tion"]
)
BPE_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BPE_SIZE = 320
BPE_CORPUS = ["The ferryman's lamp burns low; we'll wait until the tide has turned.", "Nine otters slept under the old bridge, and didn't wake.",
              "I've counted 1234 pebbles and 56 shells by the river.", "A kettle sings in the kitchen while the kitten is singing, too."]
# Texts (or pairs) and what is cut of them: <mask> stands in those for fill.
BPE_TEXTS = ["The <mask> otters", "a  kettle's\tlamp, <mask> 56 shells!", ("We'll wait", "until the <mask> turned été 한"),
             "The ferryman's <mask> burns low; nine kittens sing by the"]
SMALL = dict(hidden=16, layers=2, heads=4, ffn=32, positions=48)
WIDE = dict(hidden=48, layers=2, heads=4, ffn=96, positions=48)  # heads of 12: no multiple of a vector
LONG = dict(hidden=128, layers=2, heads=2, ffn=64, positions=96, spread=0.08)  # heads of 64, room for a long text
FAR = dict(SMALL, positions=140)  # distances beyond every bucket
LENGTHS = [(3, 0), (9, 0), (11, 8), (33, 0)]  # (first text, second text), special tokens included

HEADS = {
    "classify": "ForSequenceClassification",
    "tag": "ForTokenClassification",
    "answer": "ForQuestionAnswering",
    "fill": "ForMaskedLM",
    "pretrain": "ForPreTraining",
    "embed": "Model",
}
ROBERTAS = ("roberta", "xlm-roberta", "camembert")
AFTER_PAD = (*ROBERTAS, "mpnet")  # positions by ids
UNTYPED = ("distilbert", *AFTER_PAD)  # no token types, or one
FAMILIES = {"distilbert": "DistilBert", "bert": "Bert", "electra": "Electra", "roberta": "Roberta",
            "xlm-roberta": "XLMRoberta", "camembert": "Camembert", "albert": "Albert", "mpnet": "MPNet",
            "deberta-v2": "DebertaV2"}
LABELS = {
    "classify": ["negative", "neutral", "positive"],
    "tag": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
}


def vocab_of(family, options):
    """RoBERTa's padding has id 1, unless told otherwise."""
    return KLUE + VOCAB[len(KLUE) :] if family in AFTER_PAD and options.get("pad_token_id", 1) == 1 else VOCAB


def make_config(family, head, size=SMALL, activation="gelu", labels=None, **more):
    names = labels or LABELS.get(head)
    if names:
        more.update(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    if family == "distilbert":
        return transformers.DistilBertConfig(
            vocab_size=len(VOCAB), dim=size["hidden"], n_layers=size["layers"], n_heads=size["heads"],
            hidden_dim=size["ffn"], max_position_embeddings=size["positions"], activation=activation, **more)
    if family in ("electra", "albert"):
        more["embedding_size"] = size.get("embedding", 24)
    positions = size["positions"]
    if family == "deberta-v2":
        more = {**V3, **more}
    if family in ROBERTAS:
        more["type_vocab_size"] = 1
    if family in AFTER_PAD:
        positions += more.get("pad_token_id", 1) + 1  # rows that no token has
    return getattr(transformers, FAMILIES[family] + "Config")(
        vocab_size=BPE_SIZE if more.pop("bpe", None) else len(VOCAB), hidden_size=size["hidden"], num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"], intermediate_size=size["ffn"],
        max_position_embeddings=positions, hidden_act=activation, **more)


def make_model(family, head, seed, dtype=torch.float32, **options):
    """A model whose every tensor is random, biases and norms included, so that no role can stand for another."""
    torch.manual_seed(seed)
    config = make_config(family, head, **options)
    config._attn_implementation = "eager"
    model = getattr(transformers, FAMILIES[family] + HEADS[head])(config).eval()
    with torch.no_grad():
        spread = options.get("size", SMALL).get("spread", 0.2)
        for name, tensor in model.named_parameters():
            norm = "norm" in name.lower() and name.endswith("weight")
            tensor.copy_((1.0 if norm else 0.0) + spread * torch.randn(tensor.shape))
    return model.to(dtype)


def make_inputs(head, family, positions, vocab, pads=(), kinds=2):
    """pads: places of [PAD] in the third text."""
    cls, sep, mask = (vocab.index(token) for token in ("[CLS]", "[SEP]", "[MASK]"))
    generator = torch.Generator().manual_seed(7)
    ids, types, untyped = [], [], family in UNTYPED or kinds < 2
    for first, second in LENGTHS + ([(positions, 0)] if positions > SMALL["positions"] else []):
        row = torch.randint(5, len(VOCAB), (first + second,), generator=generator).tolist()
        row[0], row[first - 1], row[-1] = cls, sep, sep
        if head in ("fill", "pretrain"):
            row[1 : first - 1 : 5] = [mask] * len(row[1 : first - 1 : 5])
        if len(ids) == 2:
            for place in pads:
                row[place] = vocab.index("[PAD]")
        ids.append(row)
        types.append([0] * first + [0 if untyped else 1] * second)
    return ids, types


@torch.no_grad()
def run(model, head, ids, types, mask):
    outputs = []
    for row, kinds in zip(ids, types):
        inputs = {"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row), dtype=torch.long)}
        if model.config.model_type not in UNTYPED:
            inputs["token_type_ids"] = torch.tensor([kinds])
        out = model(**inputs)
        if head == "classify":
            outputs += out.logits.tolist()
        elif head == "tag":
            outputs += out.logits[0].tolist()
        elif head == "answer":
            outputs += torch.stack([out.start_logits[0], out.end_logits[0]], dim=1).tolist()
        elif head == "pretrain" and model.config.model_type == "electra":  # a discriminator's encoder embeds
            outputs += model.electra(**inputs).last_hidden_state.mean(dim=1).tolist()
        elif head in ("fill", "pretrain"):
            logits = out.logits if head == "fill" else out.prediction_logits
            outputs += logits[0][torch.tensor(row) == mask].tolist()
        else:  # what sentence-transformers takes a plain encoder for: the mean
            outputs += out.last_hidden_state.mean(dim=1).tolist()
    return outputs


def write_golden(folder, ids, types, outputs, texts=None):
    rows = lambda m: "[" + ",\n  ".join("[" + ",".join(m_) + "]" for m_ in m) + "]"
    whole = lambda m: rows([[str(v) for v in row] for row in m])
    real = rows([[f"{v:.9g}" for v in row] for row in outputs])
    texts = f'"texts": {json.dumps(texts, ensure_ascii=False)},\n' if texts else ""
    (folder / "golden.json").write_text(
        f'{{{texts}"ids": {whole(ids)},\n"types": {whole(types)},\n"outputs": {real}}}\n')


def write_tokenizer(folder, vocab):
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab.index(token)) for token in ("[CLS]", "[SEP]")])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(vocab[: len(SPECIAL)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    settings = {"do_lower_case": True, "model_max_length": 40, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")


def byte_level_tokenizer():
    """RoBERTa's, of a small vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(BPE_CORPUS * 3, trainers.BpeTrainer(
        vocab_size=BPE_SIZE - 1, special_tokens=BPE_SPECIAL[:4], initial_alphabet=alphabet, show_progress=False))
    made = json.loads(tokenizer.to_str())
    made["model"]["vocab"]["<mask>"] = BPE_SIZE - 1  # the last one, as RoBERTa's
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    tokenizer.add_special_tokens([*BPE_SPECIAL[:4], AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    return tokenizer


def write_byte_level(folder, tokenizer, files):
    """tokenizer.json, or the files of version 3, of which transformers makes the same."""
    settings = {"model_max_length": 40, "tokenizer_class": "RobertaTokenizer", "add_prefix_space": False}
    if files == "merges":
        model = json.loads(tokenizer.to_str())["model"]
        (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"]))
        mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
        (folder / "special_tokens_map.json").write_text(json.dumps({"mask_token": mask}) + "\n")
    else:
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        settings.update(cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")


def write_byte_level_checkpoint(root, name, head, files="json", **options):
    folder = root / name
    folder.mkdir(parents=True)
    model, tokenizer = make_model("roberta", head, bpe=True, **options), byte_level_tokenizer()
    assert tokenizer.get_vocab_size() == BPE_SIZE
    write_weights(folder, model, "safetensors")
    write_config(folder, model)
    write_byte_level(folder, tokenizer, files)
    ids = [tokenizer.encode(*([text] if isinstance(text, str) else text)).ids for text in BPE_TEXTS]
    types = [[0] * len(row) for row in ids]
    write_golden(folder, ids, types, run(model.float(), head, ids, types, BPE_SIZE - 1), BPE_TEXTS)


def write_config(folder, model):
    config = json.loads(model.config.to_json_string())
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def state_of(model):
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def old_names(state):
    """TensorFlow's names of norms, and the decoder's bias where BERT first had it."""
    renamed = {}
    for name, tensor in state.items():
        if "LayerNorm." in name or "_layer_norm." in name:
            name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        renamed[name] = tensor
    return renamed


def tensorflow_layout(name, tensor):
    """The last part of a variable's name, and its array: kernels are [in, out]."""
    stem, kind = name.rsplit(".", 1)
    if "norm" in stem.lower():
        return stem, {"weight": "gamma", "bias": "beta"}[kind], tensor
    if kind == "weight" and not stem.endswith("_embeddings"):
        return stem, "kernel", tensor.t()
    return stem, kind, tensor


def write_keras(folder, model):
    """What TFPreTrainedModel.save_weights writes: a group a layer, in it the whole names of its variables."""
    import h5py

    scope = "tf_" + "".join("_" + c.lower() if c.isupper() else c for c in type(model).__name__).lstrip("_")
    layers = {"dropout_1": [], "top_level_model_weights": []}
    for name, tensor in state_of(model).items():
        stem, kind, tensor = tensorflow_layout(name, tensor)
        if kind == "weight":  # only the word embedding's is called that
            kind = "weight" if stem.endswith("word_embeddings") else "embeddings"
        path = stem.replace(".", "/").replace("/layer/", "/layer_._")
        layers.setdefault(path.split("/")[0], []).append((f"{scope}/{path}/{kind}:0", tensor.contiguous().numpy()))
    with h5py.File(folder / "tf_model.h5", "w", libver="earliest") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.21.0"
        for layer, variables in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in variables]
            for name, array in variables:
                group.create_dataset(name, data=array, track_times=False)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF  # masked, as it is stored


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value if isinstance(value, bytes) else varint(number << 3) + varint(value)


def table_block(entries):
    """A block of LevelDB's tables, with the whole key every 16 entries."""
    out, restarts, before = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % 16 == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(before), len(key)) and before[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    out += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return out + b"\0" + struct.pack("<I", crc32c(out + b"\0"))


def write_bundle(prefix, tensors, shards=1):
    """A checkpoint of tf.compat.v1.train.Saver: the data, and the table that says where each tensor is."""
    data, entries = [b""] * shards, [(b"", field(1, shards) + field(3, field(1, 1)))]
    for i, (name, (dtype, shape, content)) in enumerate(sorted(tensors.items())):
        shard = i * shards // len(tensors)
        dims = b"".join(field(2, field(1, n)) for n in shape)
        entry = field(1, dtype) + field(2, dims)
        entry += (field(3, shard) if shard else b"") + (field(4, len(data[shard])) if data[shard] else b"")
        entry += field(5, len(content)) + varint(6 << 3 | 5) + struct.pack("<I", crc32c(content))
        data[shard] += content
        entries.append((name.encode(), entry))
    index, handles = b"", []
    for at in range(0, len(entries), 32):  # TensorFlow's blocks have 256 kB; several show the list of them
        block = table_block(entries[at : at + 32])
        handles.append((entries[min(at + 31, len(entries) - 1)][0], varint(len(index)) + varint(len(block) - 5)))
        index += block
    footer = b""
    for block in (table_block([]), table_block(handles)):
        footer += varint(len(index)) + varint(len(block) - 5)
        index += block
    index += footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    pathlib.Path(f"{prefix}.index").write_bytes(index)
    for i, part in enumerate(data):
        pathlib.Path(f"{prefix}.data-{i:05}-of-{shards:05}").write_bytes(part)


def write_tensorflow(folder, model, name, shards=1):
    """What google-research/bert's programs save: names are scopes, heads output_weights and output_bias."""
    heads = {"classifier": "", "qa_outputs": "cls/squad/"}
    tensors = {"global_step": (9, [], struct.pack("<q", 343))}
    for key, tensor in state_of(model).items():
        stem, kind, array = tensorflow_layout(key, tensor)
        path = stem.replace("layer.", "layer_").replace(".", "/")
        if stem in heads:
            path, array = heads[stem] + {"kernel": "output_weights", "bias": "output_bias"}[kind], tensor
        elif kind != "weight":
            path += "/" + kind
        tensors[path] = (1, array.shape, array.contiguous().numpy().tobytes())
        if kind == "beta":  # training's own: the optimizer's moments
            tensors[path + "/adam_m"] = (1, array.shape, bytes(4 * array.numel()))
    write_bundle(folder / name, tensors, shards)


def write_weights(folder, model, form):
    state = state_of(model)
    if form == "safetensors":
        model.save_pretrained(folder)
    elif form == "sharded":
        model.save_pretrained(folder, max_shard_size="12KB")
    elif form == "zip":
        torch.save(state, folder / "pytorch_model.bin")
    elif form == "legacy":
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    elif form == "nested":  # a training script's file: DataParallel inside {"state_dict", "epoch"}
        torch.save({"epoch": 3, "state_dict": {"module." + k: v for k, v in state.items()}}, folder / "pytorch_model.bin")
    elif form == "old":
        old = old_names(state)
        old["bert.embeddings.position_ids"] = torch.arange(48).expand((1, -1))
        torch.save(old, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    elif form == "bare":  # a base model's names have no prefix
        prefix = model.base_model_prefix + "."
        save_file({k.removeprefix(prefix): v.contiguous() for k, v in state.items()}, folder / "model.safetensors")
    elif form == "transposed":  # parameters that are views: strides other than row-major
        torch.save({k: v.t().contiguous().t() if v.dim() == 2 else v for k, v in state.items()},
                   folder / "pytorch_model.bin")
    elif form == "parameters":  # state_dict(keep_vars=True), halves sharing one storage
        shared = {k: torch.nn.Parameter(v) for k, v in state.items()}
        query = "bert.encoder.layer.0.attention.self.query.weight"
        key = query.replace("query", "key")
        joint = torch.cat([state[query], state[key]])
        shared[query], shared[key] = joint[: len(joint) // 2], joint[len(joint) // 2 :]
        torch.save(shared, folder / "pytorch_model.bin")
    elif form == "keras":
        write_keras(folder, model)
    elif form == "tensorflow":
        write_tensorflow(folder, model, "bert_model.ckpt")
    elif form == "trained":  # run_classifier.py's folder
        write_tensorflow(folder, model, "model.ckpt-343", shards=2)
        (folder / "checkpoint").write_text('model_checkpoint_path: "/tmp/out/model.ckpt-343"\n'
                                           'all_model_checkpoint_paths: "/tmp/out/model.ckpt-343"\n')


def write_google_config(folder, config):
    keys = ("attention_probs_dropout_prob hidden_act hidden_dropout_prob hidden_size initializer_range intermediate_size "
            "max_position_embeddings num_attention_heads num_hidden_layers type_vocab_size vocab_size").split()
    (folder / "bert_config.json").write_text(json.dumps({key: getattr(config, key) for key in keys}, indent=1) + "\n")


def write_checkpoint(root, name, family, head, form="safetensors", pads=(), **options):
    folder = root / name
    folder.mkdir(parents=True)
    model, vocab = make_model(family, head, **options), vocab_of(family, options)
    write_weights(folder, model, form)
    if form in ("tensorflow", "trained"):  # Google's folders have no more than these two
        write_google_config(folder, model.config)
        (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    else:
        write_config(folder, model)
        write_tokenizer(folder, vocab)
    kinds = options.get("type_vocab_size", 0) if family == "deberta-v2" else 2
    ids, types = make_inputs(head, family, options.get("size", SMALL)["positions"], vocab, pads, kinds)
    write_golden(folder, ids, types, run(model.float(), head, ids, types, vocab.index("[MASK]")))


def write_adapter(root, name, family, base, head, lora, **options):
    """A checkpoint with PEFT's files of a LoRA adapter beside its own; the base was trained as `base`, the adapter as `head`."""
    import peft

    folder = root / name
    folder.mkdir(parents=True)
    model, vocab = make_model(family, base, **options), vocab_of(family, options)
    write_weights(folder, model, "safetensors")
    write_config(folder, model)
    write_tokenizer(folder, vocab)
    trained = make_model(family, head, **options)
    weights, inside = state_of(model), "" if head != "embed" else model.base_model_prefix + "."
    trained.load_state_dict({k: weights.get(inside + k, v) for k, v in trained.state_dict().items()})
    kind = {"classify": "SEQ_CLS", "tag": "TOKEN_CLS", "answer": "QUESTION_ANS", "embed": "FEATURE_EXTRACTION"}[head]
    wrapped = peft.get_peft_model(trained, peft.LoraConfig(task_type=kind, **lora)).eval()
    torch.manual_seed(options["seed"] + 1)
    with torch.no_grad():
        for parameter_name, tensor in sorted(wrapped.named_parameters()):
            if tensor.requires_grad:
                tensor.copy_((1.0 if "magnitude" in parameter_name else 0.0) + 0.2 * torch.randn(tensor.shape))
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink()
    ids, types = make_inputs(head, family, SMALL["positions"], vocab)
    write_golden(folder, ids, types, run(wrapped, head, ids, types, vocab.index("[MASK]")))


def make_module(kind, width, *settings):
    """A module of sentence-transformers for vectors of `width` numbers, at random, and how many it gives."""
    from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize

    torch.manual_seed(99)
    if kind == "dense":
        out, bias, activation, *residual = settings
        return Dense(width, out, bias=bias, activation_function=activation, use_residual=bool(residual)), out
    module = {"normalize": Normalize, "dropout": Dropout, "norm": lambda: LayerNorm(width)}[kind]()
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return module, width


def write_package(root, name, family, pooling, old, after=(("normalize",),), **options):
    """A sentence-transformers package; `old`: the keys, types and folders of its version 2."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = root / name
    model = make_model(family, "embed", **options)
    with tempfile.TemporaryDirectory() as plain:
        plain = pathlib.Path(plain)
        model.save_pretrained(plain)
        write_tokenizer(plain, VOCAB)
        modules = [Transformer(str(plain), max_seq_length=32), Pooling(model.config.hidden_size, pooling)]
        width = modules[-1].get_embedding_dimension()
        for kind, *settings in after:
            module, width = make_module(kind, width, *settings)
            modules.append(module)
        package = SentenceTransformer(modules=modules, device="cpu")
        package.save(str(folder), create_model_card=False)
    if old:
        make_old_package(folder, pooling, model.config.hidden_size)
    keep = {"config.json", "modules.json", "model.safetensors", "pytorch_model.bin", "sentence_bert_config.json"}
    for path in list(folder.rglob("*")):
        if path.is_file() and path.name not in keep:
            path.unlink()
    inner = folder / "0_Transformer" if old else folder
    write_tokenizer(inner, VOCAB)
    ids, types = make_inputs("embed", family, SMALL["positions"], VOCAB)
    loaded = SentenceTransformer(str(folder), device="cpu").eval()
    outputs = []
    with torch.no_grad():
        for row, kinds in zip(ids, types):
            features = {"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row), dtype=torch.long)}
            if family == "bert":
                features["token_type_ids"] = torch.tensor([kinds])
            outputs += loaded(features)["sentence_embedding"].tolist()
    write_golden(folder, ids, types, outputs)


def make_old_package(folder, pooling, hidden):
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name != "modules.json":
            shutil.move(path, inner / path.name)
    (inner / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "do_lower_case": false}\n')
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        kind = module["type"].rsplit(".", 1)[1]
        module["type"] = "sentence_transformers.models." + kind
        if kind == "Transformer":
            module["path"] = "0_Transformer"
        if kind == "Dense":  # old ones are pickles
            from safetensors.torch import load_file

            weights = folder / module["path"] / "model.safetensors"
            torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
            weights.unlink()
        if kind == "Pooling":
            flags = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "sqrt": "mean_sqrt_len_tokens"}
            config = {"word_embedding_dimension": hidden}
            config.update({"pooling_mode_" + f: mode == pooling for mode, f in flags.items()})
            (folder / module["path"] / "config.json").write_text(json.dumps(config) + "\n")
    (folder / "modules.json").write_text(json.dumps(modules, indent=1) + "\n")


# One row per checkpoint: name, family, head, options.
CHECKPOINTS = [
    ("distilbert-classify", "distilbert", "classify", dict(seed=1)),
    ("distilbert-classify-zip", "distilbert", "classify", dict(seed=1, form="zip")),
    ("distilbert-classify-legacy", "distilbert", "classify", dict(seed=1, form="legacy")),
    ("distilbert-classify-sharded", "distilbert", "classify", dict(seed=1, form="sharded")),
    ("distilbert-classify-nested", "distilbert", "classify", dict(seed=1, form="nested")),
    ("distilbert-classify-transposed", "distilbert", "classify", dict(seed=1, form="transposed")),
    ("distilbert-classify-keras", "distilbert", "classify", dict(seed=1, form="keras")),
    ("distilbert-classify-f16", "distilbert", "classify", dict(seed=1, dtype=torch.float16)),
    ("distilbert-classify-bf16", "distilbert", "classify", dict(seed=1, dtype=torch.bfloat16)),
    ("distilbert-multilabel", "distilbert", "classify",
     dict(seed=2, activation="gelu_new", problem_type="multi_label_classification")),
    ("distilbert-regression", "distilbert", "classify",
     dict(seed=3, activation="relu", labels=["score"], problem_type="regression", dtype=torch.float16)),
    ("distilbert-tag", "distilbert", "tag", dict(seed=4)),
    ("distilbert-answer", "distilbert", "answer", dict(seed=5)),
    ("distilbert-fill", "distilbert", "fill", dict(seed=6)),
    ("distilbert-embed", "distilbert", "embed", dict(seed=7)),
    ("distilbert-wide", "distilbert", "classify", dict(seed=8, size=WIDE, dtype=torch.bfloat16)),
    ("distilbert-long", "distilbert", "classify", dict(seed=30, size=LONG, dtype=torch.bfloat16)),
    ("bert-classify", "bert", "classify", dict(seed=11)),
    ("bert-classify-parameters", "bert", "classify", dict(seed=11, form="parameters")),
    ("bert-classify-bare", "bert", "classify", dict(seed=11, form="bare", dtype=torch.float16)),
    ("bert-classify-keras", "bert", "classify", dict(seed=11, form="keras")),
    ("bert-classify-tensorflow", "bert", "classify", dict(seed=11, form="tensorflow")),
    ("bert-multilabel", "bert", "classify",
     dict(seed=12, activation="relu", problem_type="multi_label_classification", dtype=torch.bfloat16)),
    ("bert-regression", "bert", "classify", dict(seed=13, labels=["score"])),
    ("bert-tag", "bert", "tag", dict(seed=14, activation="gelu_new")),
    ("bert-answer", "bert", "answer", dict(seed=15)),
    ("bert-answer-trained", "bert", "answer", dict(seed=15, form="trained")),
    ("bert-fill", "bert", "fill", dict(seed=16)),
    ("bert-fill-old", "bert", "fill", dict(seed=16, form="old")),
    ("bert-pretrain", "bert", "pretrain", dict(seed=17, dtype=torch.float16)),
    ("bert-embed", "bert", "embed", dict(seed=18)),
    ("bert-wide", "bert", "classify", dict(seed=19, size=WIDE, dtype=torch.float16)),
    ("electra-classify", "electra", "classify", dict(seed=40, activation="gelu_new")),
    ("electra-square", "electra", "classify", dict(seed=41, size=dict(SMALL, embedding=16))),
    ("electra-tag", "electra", "tag", dict(seed=42)),
    ("electra-answer", "electra", "answer", dict(seed=43)),
    ("electra-fill", "electra", "fill", dict(seed=44)),
    ("electra-discriminator", "electra", "pretrain", dict(seed=45)),
    ("electra-embed", "electra", "embed", dict(seed=46)),
    ("roberta-classify", "roberta", "classify", dict(seed=50, activation="gelu_new")),
    ("roberta-zero", "roberta", "classify",
     dict(seed=51, pad_token_id=0, size=dict(SMALL, positions=49), dtype=torch.float16)),
    ("roberta-tag", "roberta", "tag", dict(seed=52)),
    ("roberta-answer", "roberta", "answer", dict(seed=53)),
    ("roberta-fill", "roberta", "fill", dict(seed=54, activation="relu")),
    ("roberta-fill-zip", "roberta", "fill", dict(seed=54, activation="relu", form="zip")),
    ("roberta-embed", "roberta", "embed", dict(seed=55, size=dict(SMALL, positions=49))),
    ("xlm-roberta-classify", "xlm-roberta", "classify", dict(seed=60)),
    ("xlm-roberta-tag", "xlm-roberta", "tag", dict(seed=61)),
    ("xlm-roberta-answer", "xlm-roberta", "answer", dict(seed=62)),
    ("xlm-roberta-fill", "xlm-roberta", "fill", dict(seed=63)),
    ("xlm-roberta-embed", "xlm-roberta", "embed", dict(seed=64)),
    ("camembert-classify", "camembert", "classify", dict(seed=65)),
    ("camembert-tag", "camembert", "tag", dict(seed=66)),
    ("camembert-answer", "camembert", "answer", dict(seed=67)),
    ("camembert-fill", "camembert", "fill", dict(seed=68)),
    ("camembert-embed", "camembert", "embed", dict(seed=69)),
    ("roberta-pads", "roberta", "tag", dict(seed=56, pads=(4, 5, 9))),
    ("albert-classify", "albert", "classify", dict(seed=90, activation="gelu_new")),
    ("albert-groups", "albert", "tag",
     dict(seed=91, size=dict(SMALL, layers=5), activation="gelu", num_hidden_groups=2, inner_group_num=2)),
    ("albert-square", "albert", "answer", dict(seed=92, size=dict(SMALL, embedding=16), activation="gelu_new")),
    ("albert-fill", "albert", "fill", dict(seed=93, activation="gelu_new")),
    ("albert-pretrain", "albert", "pretrain", dict(seed=94, activation="relu")),
    ("albert-embed", "albert", "embed", dict(seed=95, activation="gelu_new")),
    ("mpnet-classify", "mpnet", "classify", dict(seed=100, size=FAR, pads=(3, 7))),
    ("mpnet-tag", "mpnet", "tag", dict(seed=101, pads=(3, 4))),
    ("mpnet-answer", "mpnet", "answer", dict(seed=102, relative_attention_num_buckets=40)),
    ("mpnet-fill", "mpnet", "fill", dict(seed=103, pad_token_id=0)),
    ("mpnet-embed", "mpnet", "embed", dict(seed=104)),
    ("deberta-classify", "deberta-v2", "classify", dict(seed=110, size=FAR)),
    ("deberta-tag", "deberta-v2", "tag",  # distances beyond the last bucket's
     dict(seed=111, size=FAR, max_relative_positions=32, share_att_key=False, pooler_hidden_act="tanh")),
    ("deberta-c2p", "deberta-v2", "classify",
     dict(seed=112, pos_att_type="c2p", share_att_key=False, norm_rel_ebd="none", pooler_hidden_act="tanh")),
    ("deberta-p2c", "deberta-v2", "tag", dict(seed=113, pos_att_type=["p2c"], position_buckets=-1, max_relative_positions=10)),
    ("deberta-plain", "deberta-v2", "embed", dict(seed=114, relative_attention=False, position_biased_input=True)),
    ("deberta-biased", "deberta-v2", "answer",
     dict(seed=115, position_biased_input=True, type_vocab_size=2, embedding_size=24, max_relative_positions=512)),
    ("deberta-fill", "deberta-v2", "fill", dict(seed=116)),
    ("deberta-fill-new", "deberta-v2", "fill", dict(seed=117, legacy=False)),
    ("deberta-embed", "deberta-v2", "embed", dict(seed=118, type_vocab_size=1)),
    ("bert-long", "bert", "classify", dict(seed=31, size=LONG, dtype=torch.bfloat16)),
]
ADAPTERS = [
    ("adapter-classify", "bert", "classify", "classify",
     dict(r=3, lora_alpha=8, target_modules=["query", "value", "intermediate.dense"], rank_pattern={"value": 2},
          alpha_pattern={"layer.1.attention.self.value": 5}, bias="all"), dict(seed=70)),
    ("adapter-dora", "distilbert", "classify", "classify",
     dict(r=4, lora_alpha=6, target_modules=["q_lin", "lin1"], use_dora=True, use_rslora=True), dict(seed=72)),
    ("adapter-tag", "bert", "fill", "tag",
     dict(r=2, lora_alpha=4, target_modules=["key", "output.dense"], modules_to_save=["classifier"]), dict(seed=74)),
    ("adapter-embed", "electra", "fill", "embed",
     dict(r=2, lora_alpha=3, target_modules=["word_embeddings", "query"]), dict(seed=76)),
]
# RoBERTa with its own tokenizer.
BYTE_LEVEL = [
    ("roberta-bytes-classify", "classify", dict(seed=80)),
    ("roberta-bytes-tag", "tag", dict(seed=81, files="merges")),
    ("roberta-bytes-answer", "answer", dict(seed=82)),
    ("roberta-bytes-fill", "fill", dict(seed=83)),
    ("roberta-bytes-embed", "embed", dict(seed=84, files="merges")),
]
PACKAGES = [
    ("package-mean", "bert", "mean", dict(seed=21, old=False)),
    ("package-old", "bert", "mean", dict(seed=21, old=True)),
    ("package-dense", "bert", "cls", dict(seed=22, old=False, after=(("dense", 24, True, torch.nn.Tanh()), ("normalize",)))),
    ("package-old-dense", "distilbert", "max",
     dict(seed=23, old=True, after=(("dense", 8, False, torch.nn.Identity()),))),
    ("package-stack", "bert", ["cls", "mean", "max"],
     dict(seed=24, old=False, after=(
         ("normalize",), ("dense", 24, True, torch.nn.Sigmoid()), ("norm",), ("dropout",),
         ("dense", 24, False, torch.nn.SiLU(), "residual"), ("dense", 12, True, torch.nn.GELU(), "residual")))),
    ("package-last", "bert", "lasttoken", dict(seed=26, old=False)),
    ("package-sqrt", "distilbert", ["mean_sqrt_len_tokens", "lasttoken"], dict(seed=27, old=False, after=())),
    ("package-acts", "distilbert", "mean",
     dict(seed=25, old=False, after=tuple(
         ("dense", 8 + i, True, act()) for i, act in enumerate((
             torch.nn.ReLU, torch.nn.Softplus, torch.nn.LeakyReLU, torch.nn.Mish, torch.nn.LogSigmoid,
             torch.nn.Tanhshrink, torch.nn.Softsign))))),
]


def main():
    import make_rotary_checkpoints
    import make_sentence_checkpoints

    here = pathlib.Path(__file__).resolve().parent.parent
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "test/golden/checkpoints"
    if root.exists():
        shutil.rmtree(root)
    for name, family, head, options in CHECKPOINTS:
        write_checkpoint(root, name, family, head, **options)
    for name, family, base, head, lora, options in ADAPTERS:
        write_adapter(root, name, family, base, head, lora, **options)
    for name, head, options in BYTE_LEVEL:
        write_byte_level_checkpoint(root, name, head, **options)
    for name, family, pooling, options in PACKAGES:
        write_package(root, name, family, pooling, **options)
    make_sentence_checkpoints.write_all(root)
    make_rotary_checkpoints.write_all(root)
    for path in root.rglob("generation_config.json"):
        path.unlink()
    for path in root.rglob("*.safetensors"):
        path.chmod(0o644)
    print(sum(p.stat().st_size for p in root.rglob("*") if p.is_file()), "bytes in", root)


if __name__ == "__main__":
    main()
