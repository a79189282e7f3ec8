"""What ``lox extrapolate`` writes becomes a GGUF file that answers as it does, with tokenizer and template."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGUFReader, GGUFWriter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.checkpoints.files import Checkpoint

TEXT = ["The quick brown fox jumps over the lazy dog.", "I cannot help with that.", "Hello, how are you?"]
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with ``base``, ``aligned`` and ``lox``, which is extrapolated, and their ``.gguf`` files."""
    folder, tokenizer = tmp_path_factory.mktemp("gguf"), byte_level_tokenizer()
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    tokens = {
        "vocab_size": len(tokenizer),
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
    }
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, **tokens, max_position_embeddings=64))
    for side in ("base", "aligned"):
        model.save_pretrained(folder / side)
        tokenizer.save_pretrained(folder / side)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    extrapolate_checkpoint(folder / "base", folder / "aligned", folder / "lox", k=3)
    for side in ("aligned", "lox"):
        convert(folder / side, folder / f"{side}.gguf")
    return folder


def convert(source: Path, target: Path) -> None:
    """A Llama's folder as GGUF, by the gguf package's own table of names, in float32."""
    config = json.loads((source / "config.json").read_text())
    checkpoint = Checkpoint.open(source)
    writer = GGUFWriter(target, "llama")
    describe(writer, config)
    add_tokenizer(writer, source)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name in checkpoint.tensors:
        array = checkpoint.tensor(name).numpy()
        heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
        if kind := next((kind for kind in heads if f".{kind}_proj." in name), None):
            array = interleaved(array, heads[kind])
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), array)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


def describe(writer: GGUFWriter, config: dict) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])


def add_tokenizer(writer: GGUFWriter, source: Path) -> None:
    """From the files beside the weights, so that one that is missing is missed."""
    stored = json.loads((source / "tokenizer.json").read_text())
    special = {token["content"] for token in stored["added_tokens"] if token["special"]}
    words = sorted(stored["model"]["vocab"], key=stored["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if w in special else gguf.TokenType.NORMAL for w in words])
    writer.add_token_merges([" ".join(pair) for pair in stored["model"]["merges"]])
    named = json.loads((source / "tokenizer_config.json").read_text())
    writer.add_bos_token_id(words.index(named["bos_token"]))
    writer.add_eos_token_id(words.index(named["eos_token"]))
    writer.add_chat_template((source / "chat_template.jinja").read_text())


def interleaved(array: np.ndarray, heads: int) -> np.ndarray:
    """The rows of queries or keys in the order in which GGUF's rotary embedding takes them."""
    rows, columns = array.shape
    return array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(torch.arange(40)[None]).logits


def test_the_model_answers_the_same(folder):
    before = logits(AutoModelForCausalLM.from_pretrained(folder / "lox"))
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file="lox.gguf", dtype=torch.float32)
    torch.testing.assert_close(logits(read), before)
    aligned = logits(AutoModelForCausalLM.from_pretrained(folder / "aligned"))
    assert (before - aligned).abs().max() > 0.01


def test_words_special_tokens_and_template_survive(folder):
    before = AutoTokenizer.from_pretrained(folder / "lox")
    read = AutoTokenizer.from_pretrained(folder, gguf_file="lox.gguf")
    text = "<|im_start|>Hello, how are you today? ünï<|im_end|>"
    assert read(text)["input_ids"] == before(text)["input_ids"]
    assert (read.bos_token_id, read.eos_token_id) == (before.bos_token_id, before.eos_token_id)
    chat = [{"role": "user", "content": "Hello"}]
    assert before.apply_chat_template(chat, tokenize=False).startswith("<|im_start|>user")


def test_all_but_the_weights_is_as_it_is_made_of_aligned(folder):
    made = {side: GGUFReader(folder / f"{side}.gguf") for side in ("aligned", "lox")}
    fields = {side: {name: field.contents() for name, field in made[side].fields.items()} for side in made}
    assert fields["lox"] == fields["aligned"] and fields["lox"]["tokenizer.chat_template"] == TEMPLATE
    shapes = {side: [(t.name, t.shape.tolist(), t.tensor_type) for t in made[side].tensors] for side in made}
    assert shapes["lox"] == shapes["aligned"]
