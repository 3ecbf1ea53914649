"""Shapes, parameter counts and the first weights of the decoder family."""

import math

import pytest
import torch

from domains.genomics.models.family import (
    FAMILY,
    ModelShape,
    build_decoder,
    model_shape,
    parameter_count,
    shape_of,
)


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads", "ffn", "count"),
    [
        ("20M", 8, 256, 8, 1024, 10_490_112),
        ("60M", 8, 512, 8, 2048, 37_757_440),
        ("116M", 12, 768, 16, 3072, 116_391_936),
        ("300M", 16, 1024, 16, 4096, 272_629_760),
        ("700M", 16, 1536, 16, 6144, 610_271_232),
        ("1B", 16, 2048, 16, 8192, 1_082_130_432),
    ],
)
def test_the_published_sizes(name, layers, width, heads, ffn, count):
    shape = FAMILY[name]
    assert (shape.layers, shape.width, shape.heads, shape.ffn) == (layers, width, heads, ffn)
    decoder = build_decoder(name, initialise=False)
    assert all(parameter.is_meta for parameter in decoder.parameters())
    assert sum(parameter.numel() for parameter in decoder.parameters()) == count == parameter_count(shape)
    assert shape_of(decoder) == shape
    assert not any("bias" in parameter for parameter, _ in decoder.named_parameters())


def test_own_sizes_and_names():
    assert parameter_count(FAMILY["micro"]) == 3_933_888
    assert parameter_count(FAMILY["tiny"], 100) == 2 * (16 * 64**2) + 5 * 64 + 200 * 64
    assert model_shape("tiny") is FAMILY["tiny"] and model_shape(FAMILY["1B"]) is FAMILY["1B"]
    with pytest.raises(ValueError, match="unknown model shape '2B'; known: tiny, micro, 20M"):
        model_shape("2B")


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("tied", [False, True])
def test_counts_of_odd_shapes(norm, tied):
    shape = ModelShape(layers=3, width=24, heads=3, ffn=40, norm=norm, tied=tied)
    decoder = build_decoder(shape, 31, context=64)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == parameter_count(shape, 31)
    assert (decoder.lm_head.weight is decoder.model.embed_tokens.weight) is tied
    assert decoder.config.max_position_embeddings == 64 and not decoder.training
    assert decoder(input_ids=torch.arange(5, 15)[None]).logits.shape == (1, 10, 31)


def test_first_weights_have_the_deviations_of_the_rule():
    torch.manual_seed(0)
    decoder = build_decoder(ModelShape(layers=3, width=128, heads=4, ffn=512), 600)
    # A normal cut at three deviations keeps 0.98658 of its deviation.
    kept = 0.98658
    expected = {"model.embed_tokens.weight": 128, "lm_head.weight": 128}
    for layer in range(3):
        inward = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.gate_proj")
        expected |= {f"model.layers.{layer}.{name}.weight": 128 for name in inward}
        expected[f"model.layers.{layer}.self_attn.o_proj.weight"] = 2 * 128 * (layer + 1)
        expected[f"model.layers.{layer}.mlp.down_proj.weight"] = 2 * 512 * (layer + 1)
    for name, parameter in decoder.named_parameters():
        if "norm" in name:
            assert (parameter == 1).all()
            continue
        deviation = 1 / math.sqrt(expected.pop(name))
        assert parameter.std().item() == pytest.approx(kept * deviation, rel=0.03), name
        assert parameter.abs().max() <= 3 * deviation
    assert not expected
    torch.manual_seed(0)
    again = build_decoder(ModelShape(layers=3, width=128, heads=4, ffn=512), 600)
    assert all(torch.equal(a, b) for a, b in zip(decoder.parameters(), again.parameters(), strict=True))


def test_a_decoder_without_memory_takes_weights_and_is_whole():
    source = build_decoder("tiny", 40)
    empty = build_decoder("tiny", 40, initialise=False)
    empty.load_state_dict(source.state_dict(), assign=True)
    ids = torch.randint(5, 40, (2, 12))
    assert torch.equal(empty(input_ids=ids).logits, source(input_ids=ids).logits)


def test_attention_by_either_way_gives_equal_logits():
    torch.manual_seed(1)
    fast, plain = build_decoder("tiny", 40), build_decoder("tiny", 40, attention="eager", initialise=False)
    plain.load_state_dict(fast.state_dict(), assign=True)
    ids = torch.randint(5, 40, (2, 12))
    torch.testing.assert_close(plain(input_ids=ids).logits, fast(input_ids=ids).logits, atol=1e-5, rtol=1e-5)


def test_shapes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 64"):
        ModelShape(layers=1, width=64, heads=3, ffn=8)
    with pytest.raises(ValueError, match="even parts"):
        ModelShape(layers=1, width=9, heads=3, ffn=8)
    with pytest.raises(ValueError, match="layers is 0"):
        ModelShape(layers=0, width=64, heads=4, ffn=8)
    with pytest.raises(ValueError, match="unknown norm 'batch'"):
        ModelShape(layers=1, width=64, heads=4, ffn=8, norm="batch")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="unknown attention 'flash'"):
        build_decoder("tiny", attention="flash")
    with pytest.raises(ValueError, match=r"vocabulary \(0\)"):
        build_decoder("tiny", 0)
