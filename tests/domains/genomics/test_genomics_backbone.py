"""The backbone: packed rows against plain ones, its features, noise, adapters, and its place in the shared model."""

import math

import pytest
import torch
from torch import nn

from domains.genomics.models.backbone import DnaBackbone, add_lora, has_lora, merge_lora
from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.models.packing import Sample, packed_batch
from polyhead.model import MultiHeadModel
from polyhead.tasks import TaskSet, TaskSpec

SHAPES = {
    "rms": ModelShape(layers=2, width=24, heads=2, ffn=40),
    "layer": ModelShape(layers=2, width=24, heads=2, ffn=40, norm="layer", tied=True),
}


def backbone_of(norm="rms", attention="sdpa", **settings):
    torch.manual_seed(3)
    return DnaBackbone(build_decoder(SHAPES[norm], 40, context=64, attention=attention), **settings)


def samples(count=7):
    generator = torch.Generator().manual_seed(5)
    found = []
    for number in range(count):
        length = 4 + 3 * number
        ids = [1, *torch.randint(5, 40, (length - 3,), generator=generator).tolist(), 4, 30]
        found.append(Sample(ids, asked=[length - 2, length - 1], last=length - 3))
    return found


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("capacity", [None, 22, 50])
def test_packed_rows_give_the_logits_of_each_sample_alone(norm, attention, capacity):
    backbone = backbone_of(norm, attention).eval()
    rows = samples()
    inputs = packed_batch(rows, capacity)
    if capacity:
        assert len(inputs["ids"]) < len(rows) and (inputs["segments"] == 0).any()
    with torch.no_grad():
        found = backbone(inputs, {"answers": None, "last": None, "mean": None})
        answers = backbone.logits(found["answers"]).view(len(rows), 2, 40)
        for number, row in enumerate(rows):
            alone = backbone.decoder(input_ids=torch.tensor([row.ids]), output_hidden_states=True)
            torch.testing.assert_close(answers[number], alone.logits[0, row.asked], atol=1e-5, rtol=0)
            # The last of transformers' hidden states stands after the last norm.
            hidden = alone.hidden_states[-1][0]
            torch.testing.assert_close(found["last"][number], hidden[row.last], atol=1e-5, rtol=0)
            torch.testing.assert_close(found["mean"][number], hidden[1 : row.last + 1].mean(0), atol=1e-5, rtol=0)


def test_padding_and_neighbours_change_nothing_and_get_no_gradient():
    backbone = backbone_of().train()
    inputs = packed_batch(samples(), 22)
    target = next(index for index, place in enumerate(inputs["last"].tolist()) if place[0] == 1)
    row, column = inputs["last"][target].tolist()
    own = inputs["segments"][row, column]
    embedded = backbone.decoder.model.embed_tokens(inputs["ids"]).detach().requires_grad_()
    handle = backbone.decoder.model.embed_tokens.register_forward_hook(lambda *_: embedded)
    backbone(inputs, {"last": torch.tensor([target])})["last"].sum().backward()
    handle.remove()
    reached = embedded.grad.abs().sum(-1) > 0
    expected = torch.zeros_like(reached)
    expected[row] = (inputs["segments"][row] == own) & (torch.arange(reached.shape[1]) <= column)
    assert torch.equal(reached, expected)


def test_features_are_given_for_the_rows_asked_and_no_others():
    backbone, inputs = backbone_of().eval(), packed_batch(samples(), 50)
    everything = backbone(inputs, {"answers": None, "last": None, "mean": None})
    assert [tuple(everything[name].shape) for name in ("answers", "last", "mean")] == [(14, 24), (7, 24), (7, 24)]
    wanted = torch.tensor([1, 4, 6])
    some = backbone(inputs, {"mean": wanted, "answers": wanted})
    assert set(some) == {"mean", "answers"}
    for name, feature in some.items():
        torch.testing.assert_close(feature, everything[name][wanted])
    none = backbone(inputs, {"last": torch.zeros(0, dtype=torch.int64)})
    assert none["last"].shape == (0, 24)


def test_the_mean_of_a_sample_without_dna_is_its_start():
    backbone = backbone_of().eval()
    inputs = packed_batch([Sample([1], last=0), Sample([9, 8, 7], last=1)], None)
    found = backbone(inputs, {"mean": None})["mean"]
    hidden = backbone.hidden(inputs)
    torch.testing.assert_close(found[0], hidden[0, 0])
    torch.testing.assert_close(found[1], hidden[1, :2].mean(0))  # without [CLS] the first token is DNA


def test_logits_of_some_tokens_are_columns_of_all():
    backbone = backbone_of("layer").eval()
    hidden, tokens = torch.randn(3, 24), torch.tensor([30, 5, 39])
    whole = backbone.decoder.lm_head(hidden)
    torch.testing.assert_close(backbone.logits(hidden), whole)
    torch.testing.assert_close(backbone.logits(hidden, tokens), whole[:, tokens])
    assert (backbone.width, backbone.vocabulary, backbone.shape) == (24, 40, SHAPES["layer"])


def test_noise_is_uniform_by_the_length_of_each_sample_and_only_in_training():
    alpha, long, short = 5.0, 40, 10
    backbone = backbone_of(embedding_noise=alpha)
    inputs = packed_batch([Sample([1] * long), Sample([1] * short)], 64)
    noises = []
    handle = backbone.decoder.model.register_forward_pre_hook(
        lambda _, args, kwargs: noises.append(kwargs["inputs_embeds"].detach()), with_kwargs=True
    )
    plain = backbone.decoder.model.embed_tokens(inputs["ids"]).detach()
    backbone.train()
    for _ in range(40):
        backbone.hidden(inputs)
    noise = torch.stack(noises) - plain
    for part, length in ((noise[:, 0, :long], long), (noise[:, 0, long:], short)):
        bound = alpha / math.sqrt(length * 24)
        assert part.abs().max().item() == pytest.approx(bound, rel=0.02) and part.abs().max() <= bound * (1 + 1e-5)
        assert part.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert abs(part.mean().item()) < 0.02 * bound
    noises.clear()
    backbone.eval()
    backbone.hidden(inputs)
    assert torch.equal(noises[0], plain)
    handle.remove()


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_adapters_start_without_effect_learn_alone_and_merge(norm):
    backbone, inputs = backbone_of(norm).eval(), packed_batch(samples(), 50)
    before = backbone(inputs, {"answers": None})["answers"].detach()
    names = set(backbone.state_dict())
    assert add_lora(backbone, rank=3, alpha=6, train_vocabulary=False) is backbone and has_lora(backbone)
    assert not backbone.training
    learning = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in learning)
    # Seven projections a block: four of width d to d, three between d and f, each with r (inputs + outputs) numbers.
    assert sum(p.numel() for p in learning.values()) == 2 * 3 * (4 * (24 + 24) + 3 * (24 + 40))
    torch.testing.assert_close(backbone(inputs, {"answers": None})["answers"], before)
    frozen = {name: p.detach().clone() for name, p in backbone.named_parameters() if not p.requires_grad}
    optimiser = torch.optim.SGD(learning.values(), lr=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        backbone(inputs, {"answers": None})["answers"].square().sum(-1).sin().sum().backward()
        backbone(inputs, {"answers": None})["answers"][:, 0].sum().backward()
        optimiser.step()
    learnt = backbone(inputs, {"answers": None})["answers"].detach()
    assert (learnt - before).abs().max() > 1e-3
    assert all(torch.equal(dict(backbone.named_parameters())[name], value) for name, value in frozen.items())
    assert merge_lora(backbone) is backbone and not has_lora(backbone)
    assert set(backbone.state_dict()) == names and all(p.requires_grad for p in backbone.parameters())
    torch.testing.assert_close(backbone(inputs, {"answers": None})["answers"], learnt, atol=1e-5, rtol=1e-5)


def test_the_vocabulary_goes_on_learning_beside_adapters():
    backbone = add_lora(backbone_of("rms"), rank=2, alpha=4)
    learning = {name for name, p in backbone.named_parameters() if p.requires_grad and "lora_" not in name}
    assert learning == {"decoder.model.embed_tokens.weight", "decoder.lm_head.weight"}
    with pytest.raises(ValueError, match="has adapters already"):
        add_lora(backbone, rank=2, alpha=4)
    with pytest.raises(ValueError, match="rank of the adapters is 0"):
        add_lora(backbone_of(), rank=0, alpha=4)


def test_a_tied_decoder_stays_tied_when_weights_are_assigned():
    source = backbone_of("layer")
    target = DnaBackbone(build_decoder(SHAPES["layer"], 40, initialise=False))
    target.load_state_dict({name: tensor.clone() for name, tensor in source.state_dict().items()}, assign=True)
    assert target.decoder.lm_head.weight is target.decoder.model.embed_tokens.weight
    assert len(list(target.parameters())) == len(list(source.parameters()))


def test_weights_with_adapters_are_assigned_to_a_backbone_without_memory():
    inputs = packed_batch(samples(), 50)
    source = add_lora(backbone_of("layer"), rank=2, alpha=4).eval()
    with torch.no_grad():
        for name, parameter in source.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    target = add_lora(DnaBackbone(build_decoder(SHAPES["layer"], 40, initialise=False)), rank=2, alpha=4).eval()
    target.load_state_dict({name: tensor.clone() for name, tensor in source.state_dict().items()}, assign=True)
    expected = source(inputs, {"last": None})["last"]
    assert torch.equal(target(inputs, {"last": None})["last"], expected)
    merged = merge_lora(target)(inputs, {"last": None})["last"]
    torch.testing.assert_close(merged, expected, atol=1e-5, rtol=1e-5)


def test_it_is_the_shared_part_of_a_model_with_many_heads():
    tasks = TaskSet(
        [
            TaskSpec("promoter", "classification", "last", 2, labels=("0", "1")),
            TaskSpec("enhancer", "classification", "mean", 3, labels=("0", "1", "2")),
        ]
    )
    heads = {name: nn.Linear(24, spec.outputs, bias=False) for name, spec in tasks.items()}
    model = MultiHeadModel(backbone_of(), heads, tasks).eval()
    inputs = packed_batch(samples(), 50)
    rows = {"promoter": torch.tensor([0, 2]), "enhancer": torch.tensor([1, 2, 6])}
    mixed = model.answer_rows(inputs, rows)
    for task, wanted in rows.items():
        torch.testing.assert_close(mixed[task], model(inputs, task)[wanted])


def test_features_that_cannot_be_given_are_named():
    backbone, inputs = backbone_of(), packed_batch(samples(), 50)
    with pytest.raises(ValueError, match="unknown feature 'c5'; known: answers, last, mean"):
        backbone(inputs, {"c5": None})
    del inputs["last"]
    with pytest.raises(ValueError, match="the feature 'mean' needs the inputs 'last'"):
        backbone(inputs, {"mean": None})
    with pytest.raises(ValueError, match="embedding noise is -1"):
        backbone_of(embedding_noise=-1)
