# SPDX-License-Identifier: Apache-2.0
"""Small random checkpoints of networks with rotary positions, for make_checkpoints.py: one per task, and one for each way in
which a configuration changes the network."""
import json
import pathlib
import sys

import make_checkpoints as base
import tokenizers
import torch
import transformers
from tokenizers import pre_tokenizers, processors

TEXT = [(5, 0), (31, 0), (12, 9)]
ROPE = lambda full, local: {"full_attention": {"rope_type": "default", "rope_theta": full},
                            "sliding_attention": {"rope_type": "default", "rope_theta": local}}
SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24, max_position_embeddings=130)
PLAIN = dict(SIZES, num_hidden_layers=2, pad_token_id=0, rope_parameters={"rope_type": "default", "rope_theta": 300.0})
EURO = dict(PLAIN, num_key_value_heads=2, mask_token_id=4)
MODERN = dict(SIZES, local_attention=16, rope_parameters=ROPE(1000.0, 50.0), pad_token_id=0)


def old_keys(config):
    """The spelling before transformers 5, with the keys of BERT that ModernBERT does not read."""
    rope = config.pop("rope_parameters")
    config.pop("layer_types")
    config.update(global_rope_theta=rope["full_attention"]["rope_theta"], local_rope_theta=rope["sliding_attention"]["rope_theta"],
                  global_attn_every_n_layers=3, layer_norm_eps=0.05, hidden_act="relu", position_embedding_type="absolute")


def hub_nomic(config):
    """The spelling of the files on the hub."""
    names = dict(hidden_size="n_embd", num_hidden_layers="n_layer", num_attention_heads="n_head", intermediate_size="n_inner",
                 max_position_embeddings="n_positions", layer_norm_eps="layer_norm_epsilon")
    for new, old in names.items():
        config[old] = config.pop(new)
    config.pop("hidden_act")
    config.update(activation_function="swiglu", rotary_emb_base=config.pop("rope_parameters")["rope_theta"], rotary_emb_fraction=1.0,
                  rotary_emb_interleaved=False, prenorm=False, qkv_proj_bias=False, use_rms_norm=False, rotary_scaling_factor=None)


def hub_gte(config):
    config.update(model_type="new", rope_theta=config.pop("rope_parameters")["rope_theta"], rope_scaling={"type": "ntk", "factor": 8.0},
                  architectures=[name.replace("Gte", "New") for name in config["architectures"]], pack_qkv=True, unpad_inputs=False)


def hub_euro(config):
    """The spelling of the files on the hub."""
    config.update(clf_pooling=config.pop("classifier_pooling"), rope_theta=config.pop("rope_parameters")["rope_theta"], rope_scaling=None)


def llama_tokenizer():
    """Llama 3's, of a small vocabulary, with EuroBERT's special tokens."""
    trained = json.loads(base.byte_level_tokenizer().to_str())
    names = dict(zip(base.BPE_SPECIAL, ["<|begin_of_text|>", "<|pad|>", "<|end_of_text|>", "<|unk|>", "<|mask|>"]))
    trained["model"]["vocab"] = {names.get(piece, piece): i for piece, i in trained["model"]["vocab"].items()}
    trained["model"]["ignore_merges"] = True
    for token in trained["added_tokens"]:
        token.update(content=names[token["content"]], lstrip=False)
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(trained))
    split = tokenizers.Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                             r"\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(split, "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    begin, end = names["<s>"], names["</s>"]
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
        single=f"{begin} $A {end}", pair=f"{begin} $A {end} {begin} $B:1 {end}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (begin, end)])])
    return tokenizer


def write_llama(folder, model, head):
    """The golden texts and what the model makes of them."""
    tokenizer = llama_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {"model_max_length": 40, "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                "eos_token": "<|end_of_text|>", "pad_token": "<|pad|>", "mask_token": "<|mask|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")
    mask = lambda text: text.replace("<mask>", "<|mask|>")
    texts = [mask(text) if isinstance(text, str) else tuple(map(mask, text)) for text in base.BPE_TEXTS]
    ids = [tokenizer.encode(*([text] if isinstance(text, str) else text)).ids for text in texts]
    types = [[0] * len(row) for row in ids]
    base.write_golden(folder, ids, types, run(model, head, ids, types, tokenizer.token_to_id("<|mask|>")), texts)


def ntk(model, factor=8.0):
    """Angles as the hub's code of GTE makes them: a base larger by the factor, and angles smaller by a root of it."""
    rotary, config = model.base_model.rotary_emb, model.config
    dim = config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"] * factor
    rotary.inv_freq.copy_(1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim)) / factor ** (2 / dim))


LLAMA = "llama"  # instead of the small WordPiece tokenizer
# name, family, head, configuration, what config.json becomes, lengths of texts
ROWS = [
    ("modernbert-classify", "ModernBert", "classify", MODERN, None, TEXT + [(120, 0)]),
    ("modernbert-mean", "ModernBert", "classify",
     dict(MODERN, classifier_pooling="mean", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True,
          hidden_activation="silu", norm_eps=1e-3), None, TEXT),
    ("modernbert-old", "ModernBert", "classify", dict(MODERN, num_hidden_layers=4, local_attention=9), old_keys, TEXT),
    ("modernbert-local", "ModernBert", "fill",
     dict(MODERN, layer_types=["full_attention", "sliding_attention", "sliding_attention"], tie_word_embeddings=False), None, TEXT),
    ("modernbert-local-classify", "ModernBert", "classify",
     dict(MODERN, layer_types=["sliding_attention", "full_attention", "sliding_attention"], local_attention=8), None, TEXT),
    ("modernbert-tag", "ModernBert", "tag", dict(MODERN, attention_bias=True, classifier_activation="gelu_new"), None, TEXT),
    ("modernbert-answer", "ModernBert", "answer", dict(MODERN, hidden_size=24, num_attention_heads=2), None, TEXT),
    ("modernbert-fill", "ModernBert", "fill", dict(MODERN, decoder_bias=False), None, TEXT),
    ("modernbert-embed", "ModernBert", "embed", MODERN, None, TEXT),
    ("nomic-classify", "NomicBert", "classify", PLAIN, None, TEXT),
    ("nomic-tag", "NomicBert", "tag", PLAIN, hub_nomic, TEXT),
    ("nomic-fill", "NomicBert", "fill", PLAIN, None, TEXT),
    ("nomic-embed", "NomicBert", "embed", PLAIN, None, TEXT),
    ("gte-classify", "Gte", "classify", dict(PLAIN, type_vocab_size=1), None, TEXT),
    ("gte-tag", "Gte", "tag", dict(PLAIN, type_vocab_size=2), None, TEXT),
    ("gte-fill", "Gte", "fill", dict(PLAIN, type_vocab_size=0), None, TEXT),
    ("gte-ntk", "Gte", "embed", dict(PLAIN, type_vocab_size=1), hub_gte, TEXT),
    ("eurobert-classify", "EuroBert", "classify", EURO, None, TEXT + [(120, 0)]),
    ("eurobert-bos", "EuroBert", "classify",
     dict(EURO, classifier_pooling="bos", num_key_value_heads=1, attention_bias=True, mlp_bias=True), hub_euro, TEXT),
    ("eurobert-mean", "EuroBert", "classify",
     dict(EURO, classifier_pooling="mean", num_key_value_heads=4, head_dim=6, rms_norm_eps=1e-2, hidden_act="gelu"), None, TEXT),
    ("eurobert-tag", "EuroBert", "tag",
     dict(EURO, head_dim=16, rope_parameters={"rope_type": "linear", "rope_theta": 300.0, "factor": 2.0}), None, TEXT),
    ("eurobert-fill", "EuroBert", "fill", dict(EURO, mlp_bias=True), LLAMA, TEXT),
    ("eurobert-tied", "EuroBert", "fill", dict(EURO, tie_word_embeddings=True), None, TEXT),
    ("eurobert-embed", "EuroBert", "embed", dict(EURO, num_hidden_layers=3), None, TEXT),
]


def inputs(head, family, lengths, vocab):
    lengths_before, base.LENGTHS = base.LENGTHS, lengths
    ids, types = base.make_inputs(head, family, 0, vocab)
    base.LENGTHS = lengths_before
    return ids, types


def run(model, head, ids, types, mask):
    before = base.UNTYPED
    if getattr(model.config, "type_vocab_size", 0) < 2:
        base.UNTYPED = (*before, model.config.model_type)
    outputs = base.run(model, head, ids, types, mask)
    base.UNTYPED = before
    return outputs


def write(root, name, family, head, config, edit, lengths, seed):
    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    names = base.LABELS.get(head)
    if names:
        config = dict(config, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    config = getattr(transformers, family + "Config")(vocab_size=base.BPE_SIZE if edit == LLAMA else len(base.VOCAB), **config)
    config._attn_implementation = "eager"
    model = getattr(transformers, family + base.HEADS[head])(config).eval()
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            norm = "norm" in key.lower() and key.endswith("weight")
            tensor.copy_(((1.0 if norm else 0.0) + 0.15 * torch.randn(tensor.shape)).bfloat16())
    if edit is hub_gte:
        ntk(model)
    model.save_pretrained(folder, state_dict={k: v.bfloat16() for k, v in model.state_dict().items()})
    if edit == LLAMA:
        write_llama(folder, model, head)
        return
    if edit:
        path = folder / "config.json"
        written = json.loads(path.read_text())
        edit(written)
        path.write_text(json.dumps(written, indent=1) + "\n")
    base.write_tokenizer(folder, base.VOCAB)
    typed = getattr(config, "type_vocab_size", 0) > 1
    ids, types = inputs(head, "bert" if typed else "distilbert", lengths, base.VOCAB)
    base.write_golden(folder, ids, types, run(model, head, ids, types, base.VOCAB.index("[MASK]")))


def write_all(root):
    for i, (name, family, head, config, edit, lengths) in enumerate(ROWS):
        write(root, name, family, head, config, edit, lengths, 300 + i)


if __name__ == "__main__":
    write_all(pathlib.Path(sys.argv[1]))
