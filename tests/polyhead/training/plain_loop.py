"""A training loop written anew, as the oracle of `polyhead.train.fit`: the plainest that the settings allow."""

import itertools
import math

import torch
from training_toy import LOSSES, TASKS, make_data, validator

from polyhead.training.sampling import TaskSampler


def plain_training(model, config, steps_per_epoch):
    """Trains as `fit` should, with one AdamW, constant rate, no average; the validations' scores, the log variances.

    Balancers: ``equal``; ``dwa`` by its equations; ``uncertainty`` with an optimiser group that is not decayed.
    """
    torch.manual_seed(config.seed)
    data = make_data(model.tasks)
    validate = validator(data)
    variances = {task: torch.nn.Parameter(torch.zeros(())) for task in model.tasks}
    groups = [{"params": model.shared_parameters()}]
    groups += [
        {"params": model.head_parameters(task), "lr": config.learning_rate * TASKS[task].lr_scale} for task in TASKS
    ]
    if config.balancer == "uncertainty":
        groups.append({"params": list(variances.values()), "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    sizes = {task: len(rows) for task, rows in data.items()}
    sampler = TaskSampler(
        sizes,
        batch_size=config.batch_size,
        tasks_per_step=config.tasks_per_step,
        seed=config.seed,
        policy=config.sampler,
    )
    seen = {task: [] for task in TASKS}
    means = {task: [] for task in TASKS}
    scores = []
    model.train()
    for step in itertools.islice(sampler, config.epochs * steps_per_epoch):
        optimizer.zero_grad()
        weights = _dwa(means) if config.balancer == "dwa" else dict.fromkeys(TASKS, 1.0)
        for batch in step.batches:
            (task,) = batch.tasks
            samples = [data[task].sample(row, seed) for row, seed in zip(batch.rows, batch.seeds, strict=True)]
            inputs = {"x": torch.stack([sample[0]["x"] for sample in samples])}
            loss = LOSSES[task](model(inputs, task), torch.stack([sample[1] for sample in samples]))
            own = TASKS[task].weight
            seen[task].append(own * loss.item())
            if config.balancer == "uncertainty":
                part = own * (0.5 * torch.exp(-variances[task]) * loss + 0.5 * variances[task])
            else:
                part = weights[task] * own * loss
            (part / len(step.batches)).backward()
        optimizer.step()
        if (step.index + 1) % steps_per_epoch == 0:
            for task, values in seen.items():
                if values:
                    means[task].append(sum(values) / len(values))
                    values.clear()
            model.eval()
            with torch.no_grad():
                found = validate(model)
            model.train()
            scores.append(sum(found.scores.values()) / len(found.scores))
    return scores, {task: value.item() for task, value in variances.items()}


def _dwa(means):
    """lambda_k = K exp(w_k / T) / sum of exp(w_i / T), w_k the ratio of the last two means, T = 2."""
    ratios = {task: each[-1] / each[-2] if len(each) > 1 else 1.0 for task, each in means.items()}
    powers = {task: math.exp(ratio / 2) for task, ratio in ratios.items()}
    return {task: len(means) * power / sum(powers.values()) for task, power in powers.items()}
