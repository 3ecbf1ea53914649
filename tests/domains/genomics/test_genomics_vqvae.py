"""The VQ-VAE: codes there and back, the moving averages by hand, the published sizes, and files without pickle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.genomics.answers.vqvae import (
    DIGITS,
    PUBLISHED,
    Codebook,
    VqVae,
    VqVaeConfig,
    fit_vqvae,
    load_vqvae,
    save_vqvae,
)
from domains.genomics.simulator.needle import digits


@pytest.fixture(scope="module")
def pictures():
    return digits().images


@pytest.fixture(scope="module")
def fitted(pictures) -> VqVae:
    return fit_vqvae(pictures, replace(DIGITS, epochs=8))


def test_digits_survive_sixteen_codes(fitted: VqVae, pictures):
    codes = fitted.encode(pictures)
    assert codes.shape == (len(pictures), 4, 4)
    assert len(np.unique(codes)) == 16
    rebuilt = fitted.decode(codes)
    assert rebuilt.shape == pictures.shape and rebuilt.min() >= 0 and rebuilt.max() <= 1
    assert ((rebuilt - pictures) ** 2).mean() < 0.2 * pictures.var()


def test_an_image_answer_carries_the_codes(fitted: VqVae, pictures):
    answer = fitted.answer("digits")
    codes = fitted.encode(pictures[:5])
    for grid in codes:
        assert np.array_equal(answer.decode(answer.encode(answer.label(grid))), grid)
    assert (answer.codes, answer.grid, answer.codec) == (16, (4, 4), "digits")


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone(pictures):
    config = replace(DIGITS, epochs=1, hidden=8, residual=4)
    state = torch.random.get_rng_state()
    errors: list[float] = []
    one = fit_vqvae(pictures[:64], config, seed=3, progress=lambda epoch, error: errors.append(error))
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    two, other = fit_vqvae(pictures[:64], config, seed=3), fit_vqvae(pictures[:64], config, seed=4)
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    assert not torch.equal(one.codebook.entries, other.codebook.entries)
    assert len(errors) == 1 and errors[0] > 0


def test_the_codebook_follows_the_moving_means_of_its_vectors():
    codebook = Codebook(2, 1, decay=0.9, revive=0.0)
    codebook.follow(torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([0, 0, 1]))
    assert codebook.entries.tolist() == [[2.0], [10.0]]
    codebook.follow(torch.tensor([[6.0], [6.0], [6.0]]), torch.tensor([0, 0, 0]))
    counts = [0.9 * 2 + 0.1 * 3, 0.9 * 1]
    assert codebook.counts.tolist() == pytest.approx(counts)
    expected = [(0.9 * 4 + 0.1 * 18) / counts[0], 10.0]
    assert codebook.entries[:, 0].tolist() == pytest.approx(expected)


def test_an_idle_entry_is_drawn_anew_and_without_revival_it_stays():
    vectors, chosen = torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0])
    revived, left = Codebook(2, 1, 0.99, revive=0.05), Codebook(2, 1, 0.99, revive=0.0)
    before = left.entries[1].clone()
    revived.follow(vectors, chosen)
    left.follow(vectors, chosen)
    assert float(revived.entries[1]) in (1.0, 3.0)
    assert torch.equal(left.entries[1], before)


def test_gradients_pass_straight_through_to_the_encoder():
    torch.manual_seed(0)
    model = VqVae(replace(DIGITS, hidden=8, residual=4)).train()
    rebuilt, commitment, _ = model(torch.rand(3, 1, 8, 8))
    rebuilt.mean().backward(retain_graph=True)
    gradient = next(model.encoder.parameters()).grad
    assert gradient is not None and gradient.abs().sum() > 0
    assert commitment.item() > 0


def test_the_published_sizes_give_49_tokens_of_6():
    model = VqVae(PUBLISHED).eval()
    codes = model.encode(np.zeros((2, 28, 28), dtype=np.float32))
    assert codes.shape == (2, 7, 7)
    assert model.decode(codes).shape == (2, 28, 28)
    answer = model.answer()
    assert answer.length == 49 and len(answer.tokens) == 6
    assert model.codebook.entries.shape == (6, 64)


def test_a_saved_vqvae_gives_the_same_codes_and_pictures(fitted: VqVae, pictures, tmp_path: Path):
    save_vqvae(fitted, tmp_path, "digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.json", "digits.safetensors"]
    again = load_vqvae(tmp_path, "digits")
    assert again.config == fitted.config
    codes = fitted.encode(pictures[:20])
    assert np.array_equal(again.encode(pictures[:20]), codes)
    assert np.array_equal(again.decode(codes), fitted.decode(codes))


def test_broken_files_and_shapes_are_said(fitted: VqVae, pictures, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no digits\.json"):
        load_vqvae(tmp_path, "digits")
    save_vqvae(fitted, tmp_path, "digits")
    (tmp_path / "digits.json").write_text('{"hidden": 64}')
    with pytest.raises(ValueError, match="not the weights"):
        load_vqvae(tmp_path, "digits")
    with pytest.raises(ValueError, match="halved 2 times"):
        VqVaeConfig(size=6, halvings=2)
    with pytest.raises(ValueError, match=r"\(N, 8, 8\)"):
        fitted.encode(pictures[:, :7])
    with pytest.raises(ValueError, match="from 0 to 15"):
        fitted.decode(np.full((1, 4, 4), 16))
    with pytest.raises(ValueError, match=r"\(N, 4, 4\)"):
        fitted.decode(np.zeros((1, 3, 4), dtype=int))
    with pytest.raises(ValueError, match="N >= 1"):
        fit_vqvae(pictures[:0])
