"""Checkpoints: equal logits in three layouts, an independent forward as oracle, and files that are refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from domains.genomics.models.checkpoints import load_decoder, resize_vocabulary, save_decoder
from domains.genomics.models.family import ModelShape, build_decoder, parameter_count, shape_of
from domains.genomics.models.olmo_gfm import from_olmo_gfm, settings_of, shape_from_settings, to_olmo_gfm
from domains.genomics.sequences.tokenizer import DnaTokenizer

IDS = torch.tensor([[1, 9, 17, 8, 8, 30, 5, 22, 4, 11], [1, 6, 6, 7, 29, 12, 13, 5, 5, 4]])
KINDS = [(norm, tied) for norm in ("rms", "layer") for tied in (False, True)]


def random_decoder(norm, tied):
    torch.manual_seed(7)
    decoder = build_decoder(ModelShape(layers=2, width=24, heads=2, ffn=40, norm=norm, tied=tied), 31, context=50)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return decoder


def logits(decoder):
    with torch.no_grad():
        return decoder(input_ids=IDS).logits


def forward_by_hand(weights, ids, *, heads, norm):
    """The published decoder on fused weights, in NumPy and float64: one row of ids (T,) to logits (T, V)."""

    def weight(name):
        return weights[f"model.transformer.{name}.weight"].numpy().astype(np.float64)

    def normed(x, name):
        if norm == "rms":
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight(name)
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

    def turned(x):
        """Feature i and feature i + h/2 of a head are one complex number, turned by position / 10000^(2i/h)."""
        length, _, size = x.shape
        angle = np.arange(length)[:, None] / 10_000 ** (np.arange(0, size, 2) / size)
        number = (x[..., : size // 2] + 1j * x[..., size // 2 :]) * np.exp(1j * angle)[:, None]
        return np.concatenate([number.real, number.imag], axis=-1)

    x = weight("wte")[ids]
    length, width = x.shape
    for block in range(2):
        h = normed(x, f"blocks.{block}.attn_norm") @ weight(f"blocks.{block}.att_proj").T
        q, k, v = (part.reshape(length, heads, -1) for part in np.split(h, 3, axis=-1))
        scores = np.einsum("ihd,jhd->hij", turned(q), turned(k)) / np.sqrt(width / heads)
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", shares, v).reshape(length, width)
        x = x + mixed @ weight(f"blocks.{block}.attn_out").T
        linear, gate = np.split(normed(x, f"blocks.{block}.ff_norm") @ weight(f"blocks.{block}.ff_proj").T, 2, axis=-1)
        x = x + (gate / (1 + np.exp(-gate)) * linear) @ weight(f"blocks.{block}.ff_out").T
    head = "ff_out" if "model.transformer.ff_out.weight" in weights else "wte"
    return normed(x, "ln_f") @ weight(head).T


@pytest.mark.parametrize(("norm", "tied"), KINDS)
@pytest.mark.parametrize("layout", ["polyhead", "transformers", "olmo-gfm"])
def test_every_layout_gives_the_same_logits_back(norm, tied, layout, tmp_path):
    decoder = random_decoder(norm, tied)
    save_decoder(decoder, tmp_path, layout)
    again, tokenizer, shape = load_decoder(tmp_path)
    assert torch.equal(logits(again), logits(decoder))
    assert tokenizer is None and shape == ModelShape(layers=2, width=24, heads=2, ffn=40, norm=norm, tied=tied)
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    assert again.config.max_position_embeddings == 50 and not again.training
    assert not any(tensor.is_meta for tensor in (*again.parameters(), *again.buffers()))
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(("norm", "tied"), KINDS)
def test_fused_weights_do_what_the_published_decoder_does(norm, tied, tmp_path):
    decoder = random_decoder(norm, tied)
    save_decoder(decoder, tmp_path, "olmo-gfm")
    weights = load_file(tmp_path / "model.safetensors")
    names = {"att_proj": (72, 24), "attn_out": (24, 24), "ff_proj": (80, 24), "ff_out": (24, 40)}
    for block in range(2):
        for name, size in names.items():
            assert tuple(weights[f"model.transformer.blocks.{block}.{name}.weight"].shape) == size
    # The published 1B (16 blocks, tied, no norm weights) has 4 a block and the embedding: 65.
    assert len(weights) == 2 * 4 + 1 + (0 if tied else 1) + (5 if norm == "rms" else 0)
    for row, found in zip(IDS, logits(decoder), strict=True):
        np.testing.assert_allclose(found, forward_by_hand(weights, row.numpy(), heads=2, norm=norm), atol=2e-5)


@pytest.mark.parametrize(("norm", "tied"), KINDS)
def test_transformers_reads_what_is_written_for_it(norm, tied, tmp_path):
    decoder = random_decoder(norm, tied)
    save_decoder(decoder, tmp_path / "ours", "transformers")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    assert type(theirs) is type(decoder)
    torch.testing.assert_close(logits(theirs), logits(decoder), atol=1e-6, rtol=0)
    theirs.save_pretrained(tmp_path / "theirs")
    assert torch.equal(logits(load_decoder(tmp_path / "theirs")[0]), logits(decoder))


def test_converters_are_inverse_and_name_what_they_do_not_know():
    state = random_decoder("rms", False).state_dict()
    fused = to_olmo_gfm(state)
    again = from_olmo_gfm(fused)
    assert again.keys() == state.keys() and all(torch.equal(again[name], state[name]) for name in state)
    # The same tensors go without the outer name, too.
    short = {name.removeprefix("model."): tensor for name, tensor in fused.items()}
    assert from_olmo_gfm(short).keys() == state.keys()
    with pytest.raises(ValueError, match=r"blocks\.0\.att_proj\.bias is no tensor of the olmo-gfm layout"):
        from_olmo_gfm({"model.transformer.blocks.0.att_proj.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"score\.weight is no tensor of a Llama or OLMo decoder"):
        to_olmo_gfm({"score.weight": torch.zeros(3)})
    del state["model.layers.1.self_attn.v_proj.weight"]
    with pytest.raises(ValueError, match=r"model\.layers\.1\.self_attn\.v_proj\.weight is missing beside"):
        to_olmo_gfm(state)


def test_weights_in_parts_and_in_half_precision(tmp_path):
    decoder = random_decoder("rms", False)
    save_decoder(decoder, tmp_path, "olmo-gfm")
    whole = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    parts = {"a.safetensors": {}, "b.safetensors": {}}
    for number, (name, tensor) in enumerate(whole.items()):
        parts["ab"[number % 2] + ".safetensors"][name] = tensor.to(torch.bfloat16)
    for name, tensors in parts.items():
        save_file(tensors, tmp_path / name)
    weight_map = {name: part for part, tensors in parts.items() for name in tensors}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    again, _, _ = load_decoder(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert torch.equal(again.lm_head.weight, decoder.lm_head.weight.to(torch.bfloat16).float())
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"it has no b\.safetensors"):
        load_decoder(tmp_path)


def test_the_layout_of_olmo_itself_is_the_same(tmp_path):
    decoder = random_decoder("layer", True)
    save_decoder(decoder, tmp_path, "olmo-gfm")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "hf_olmo"}))
    assert torch.equal(logits(load_decoder(tmp_path)[0]), logits(decoder))


def test_a_tokenizer_goes_with_its_decoder(tmp_path, random_dna):
    tokenizer = DnaTokenizer.train([random_dna(3000)], vocab=31)
    save_decoder(random_decoder("rms", False), tmp_path, tokenizer=tokenizer)
    assert load_decoder(tmp_path)[1].encode("ACGTTGCA") == tokenizer.encode("ACGTTGCA")
    tokenizer.add(["<task:x>"], "task")
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match="the tokenizer has 32 tokens, the decoder 31"):
        load_decoder(tmp_path)


def test_pickles_and_damaged_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        load_decoder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no checkpoint: it has no config\.json"):
        load_decoder(tmp_path)
    save_decoder(random_decoder("layer", True), tmp_path)
    weights = tmp_path / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:200])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_decoder(tmp_path)
    with pytest.raises(ValueError, match="is a file; name the folder"):
        load_decoder(weights)
    weights.unlink()
    with pytest.raises(ValueError, match=r"it has no model\.safetensors"):
        load_decoder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle.*weights_only=True"):
        load_decoder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "../other.safetensors"}}))
    with pytest.raises(ValueError, match="names a file outside the folder"):
        load_decoder(tmp_path)


def test_a_hub_model_that_is_not_here_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="nobody/no-such-model is neither a folder nor in the local cache"):
        load_decoder("nobody/no-such-model")


@pytest.mark.parametrize(
    ("layout", "norm", "changes", "reason"),
    [
        ("polyhead", "rms", {"model_type": "gpt2"}, "the model type is 'gpt2'"),
        ("polyhead", "rms", {"format": 2}, "format 2 is newer"),
        ("polyhead", "rms", {"vocabulary": 33}, "the weights do not fit.*size mismatch"),
        ("polyhead", "rms", {"shape": {"layers": 2}}, "no readable configuration"),
        ("transformers", "rms", {"num_key_value_heads": 1}, "num_key_value_heads is 1"),
        ("transformers", "rms", {"rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-06"),
        ("transformers", "layer", {"clip_qkv": 8.0}, "clip_qkv is 8.0"),
        ("transformers", "rms", {"rope_parameters": {"rope_theta": 5e5}}, "rope_theta is 500000.0"),
        ("olmo-gfm", "rms", {"alibi": True}, "alibi is True"),
        ("olmo-gfm", "rms", {"n_kv_heads": 1}, "n_kv_heads is 1"),
        ("olmo-gfm", "rms", {"include_bias": True}, "include_bias is True"),
        ("olmo-gfm", "layer", {"layer_norm_with_affine": True}, "the norm is 'default' with weights"),
        ("olmo-gfm", "rms", {"layer_norm_type": "default", "layer_norm_with_affine": False}, "the weights do not fit"),
    ],
)
def test_settings_that_the_decoders_do_not_have_are_refused(layout, norm, changes, reason, tmp_path):
    save_decoder(random_decoder(norm, False), tmp_path, layout)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=reason) as caught:
        load_decoder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_setting_that_is_missing_is_named(tmp_path):
    settings = settings_of(ModelShape(layers=2, width=24, heads=2, ffn=40), 31, 250)
    assert shape_from_settings(settings)[1:] == (31, 250)
    del settings["n_layers"]
    with pytest.raises(ValueError, match="the setting 'n_layers' is missing"):
        shape_from_settings(settings)


def test_published_settings_are_read():
    settings = {"d_model": 2048, "n_heads": 16, "n_layers": 16, "mlp_ratio": 8, "mlp_hidden_size": None}
    settings |= {"layer_norm_type": "default", "layer_norm_with_affine": False, "weight_tying": True, "clip_qkv": None}
    settings |= {"vocab_size": 4096, "embedding_size": 4096, "max_sequence_length": 250, "include_bias": False}
    shape, vocabulary, context = shape_from_settings(settings)
    assert shape == ModelShape(layers=16, width=2048, heads=16, ffn=8192, norm="layer", tied=True)
    assert (vocabulary, context) == (4096, 250)


@pytest.mark.parametrize(("norm", "tied"), KINDS)
def test_a_wider_vocabulary_keeps_old_logits_and_starts_at_the_mean(norm, tied, tmp_path):
    decoder = random_decoder(norm, tied)
    before, head = logits(decoder), decoder.lm_head.weight.detach().clone()
    embedding = decoder.model.embed_tokens.weight.detach().clone()
    assert resize_vocabulary(decoder, 36) is decoder
    assert (decoder.lm_head.weight is decoder.model.embed_tokens.weight) is tied
    torch.testing.assert_close(logits(decoder)[..., :31], before, atol=1e-6, rtol=0)
    torch.testing.assert_close(decoder.lm_head.weight[31:], head.mean(0).expand(5, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(decoder.model.embed_tokens.weight[31:], embedding.mean(0).expand(5, -1))
    assert decoder.config.vocab_size == 36
    assert sum(parameter.numel() for parameter in decoder.parameters()) == parameter_count(shape_of(decoder), 36)
    save_decoder(decoder, tmp_path)
    assert torch.equal(logits(load_decoder(tmp_path)[0]), logits(decoder))
    with pytest.raises(ValueError, match="36 tokens; 31 would lose some"):
        resize_vocabulary(decoder, 31)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown checkpoint format 'gguf'; known: polyhead, transformers, olmo-gfm"):
        save_decoder(random_decoder("rms", False), tmp_path, "gguf")  # pyright: ignore[reportArgumentType]
