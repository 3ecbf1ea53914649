"""A pass that leaves out what nobody asks about gives the same hidden states, and the same keys and values."""

import pytest
import torch
from transformers import DynamicCache

from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.scoring.reading import read_tokens


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("first", [0, 1, 3, 6])
def test_states_and_cache_are_those_of_a_whole_pass(norm, attention, masked, first):
    torch.manual_seed(0)
    decoder = build_decoder(ModelShape(3, 32, 2, 64, norm), 20, context=32, attention=attention).eval()
    ids = torch.randint(20, (2, 7))
    sees = torch.ones(7, 7, dtype=torch.bool).tril()
    sees[5:, 2] = False
    least = torch.finfo(torch.float32).min
    mask = torch.zeros(1, 1, 7, 7).masked_fill(~sees, least).expand(2, 1, 7, 7) if masked else None
    positions = torch.arange(7).expand(2, 7) + 3 if masked else None
    whole, part = (DynamicCache(config=decoder.config) for _ in range(2))
    with torch.inference_mode():
        expected = decoder.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=whole, use_cache=True
        ).last_hidden_state
        found = read_tokens(decoder, ids, mask=mask, positions=positions, cache=part, first=first)
        torch.testing.assert_close(found, expected[:, first:])
        torch.testing.assert_close(
            read_tokens(decoder, ids, mask=mask, positions=positions, first=first), expected[:, first:]
        )
    for one, other in zip(part.layers, whole.layers, strict=True):
        torch.testing.assert_close(one.keys, other.keys)
        torch.testing.assert_close(one.values, other.values)
