"""Sampling: every row before any repeats, whatever the policy, the resume or the number of ranks."""

import itertools
import json
from collections import Counter

import pytest

from polyhead.training.sampling import TaskSampler, shard

SIZES = {"a": 21, "b": 5, "c": 60, "d": 1}
POLICIES = ["uniform", "proportional", "temperature", "round_robin"]


def take(sampler, count):
    return list(itertools.islice(sampler, count))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tasks_per_step", [1, 2, 4])
def test_every_row_before_any_repeats(policy, tasks_per_step):
    sampler = TaskSampler(SIZES, batch_size=4, tasks_per_step=tasks_per_step, policy=policy, temperature=3, seed=5)
    seen = {task: [] for task in SIZES}
    for step in take(sampler, 200):
        names = [batch.name for batch in step.batches]
        assert len(set(names)) == len(names) <= tasks_per_step
        for batch in step.batches:
            seen[batch.name] += batch.rows
    for task, rows in seen.items():
        n = SIZES[task]
        for start in range(0, len(rows) - n + 1, n):
            assert sorted(rows[start : start + n]) == list(range(n))
        assert len(set(rows[len(rows) // n * n :])) == len(rows) % n


def test_batches_of_a_pass_are_nearly_equal():
    sampler = TaskSampler({"a": 21}, batch_size=20)
    assert [len(step.batches[0].rows) for step in take(sampler, 4)] == [11, 10, 11, 10]
    for n, batch_size in itertools.product(range(2, 40), range(3, 12)):
        lengths = [
            len(s.batches[0].rows) for s in take(TaskSampler({"a": n}, batch_size=batch_size), -(-n // batch_size))
        ]
        assert sum(lengths) == n and max(lengths) <= batch_size and min(lengths) >= 2


@pytest.mark.parametrize("tasks_per_step", [1, 2, 3])
def test_a_deck_holds_every_batch_once(tasks_per_step):
    sampler = TaskSampler(SIZES, batch_size=4, tasks_per_step=tasks_per_step, policy="proportional", seed=1)
    batches = {"a": 6, "b": 2, "c": 15, "d": 1}
    assert sampler.steps_per_epoch == {1: 24, 2: 15, 3: 15}[tasks_per_step]
    orders = []
    for _ in range(3):
        epoch = take(sampler, sampler.steps_per_epoch)
        assert Counter(b.name for s in epoch for b in s.batches) == batches
        rows = Counter((b.name, row) for s in epoch for b in s.batches for row in b.rows)
        assert set(rows.values()) == {1} and len(rows) == sum(SIZES.values())
        orders.append([b.name for s in epoch for b in s.batches])
    assert orders[0] != orders[1] != orders[2]


def test_chances_of_the_policies():
    sizes = {"small": 100, "large": 1600}
    for policy, expected in [("uniform", 0.5), ("temperature", 4 / 5)]:  # sqrt(1600) / (sqrt(100) + sqrt(1600))
        steps = take(TaskSampler(sizes, batch_size=50, policy=policy, temperature=2, seed=3), 4000)
        share = sum(step.batches[0].name == "large" for step in steps) / 4000
        assert share == pytest.approx(expected, abs=0.03)
    robin = take(TaskSampler(SIZES, batch_size=4, tasks_per_step=3, policy="round_robin"), 4)
    assert ["".join(b.name for b in step.batches) for step in robin] == ["abc", "dab", "cda", "bcd"]


@pytest.mark.parametrize("policy", POLICIES)
def test_resume_is_exact_from_any_step(policy):
    def make():
        return TaskSampler(SIZES, batch_size=4, tasks_per_step=2, policy=policy, seed=9)

    whole = take(make(), 60)
    for cut in (0, 1, 13, 37):
        first = make()
        take(first, cut)
        second = make()
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert take(second, 20) == whole[cut : cut + 20]


def test_seeds_depend_on_task_row_and_pass():
    sampler = TaskSampler({"a": 3, "b": 3}, batch_size=3, policy="round_robin", seed=1)
    seeds = {
        (batch.name, row, step.index // 2): seed
        for step in take(sampler, 8)
        for batch in step.batches
        for row, seed in zip(batch.rows, batch.seeds, strict=True)
    }
    assert len(set(seeds.values())) == len(seeds) == 24
    assert all(0 <= seed < 2**63 for seed in seeds.values())
    again = next(TaskSampler({"a": 3, "b": 3}, batch_size=3, policy="round_robin", seed=1)).batches[0]
    assert again.seeds == tuple(seeds["a", row, 0] for row in again.rows)
    assert again.seeds != next(TaskSampler({"a": 3}, batch_size=3, seed=2)).batches[0].seeds


def test_state_of_other_settings_is_refused():
    state = TaskSampler(SIZES, batch_size=4).state_dict()
    with pytest.raises(ValueError, match="other settings: batch_size, seed"):
        TaskSampler(SIZES, batch_size=5, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="other settings: sizes"):
        TaskSampler(SIZES | {"a": 22}, batch_size=4).load_state_dict(state)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 5, 12])
def test_shards_average_to_the_whole(world, rows):
    step = next(TaskSampler({"a": rows}, batch_size=rows, seed=4))
    weight = Counter()
    for rank in range(world):
        batch = shard(step, rank, world).batches[0]
        assert len(batch.rows) == len(batch.seeds) >= 1
        for row in batch.rows:
            weight[row] += batch.share / len(batch.rows) / world
    assert dict(weight) == pytest.approx(dict.fromkeys(range(rows), 1 / rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": {"a": 0, "b": 1}}, "without rows: a"),
        ({"sizes": {}}, "no tasks"),
        ({"batch_size": 0}, "batch_size"),
        ({"tasks_per_step": 5}, r"1\.\.4"),
        ({"policy": "random"}, "unknown sampling policy 'random'"),
        ({"temperature": 0.5}, "temperature"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        TaskSampler(**({"sizes": SIZES, "batch_size": 4} | options))
    with pytest.raises(ValueError, match="rank"):
        shard(next(TaskSampler(SIZES, batch_size=4)), 2, 2)


KEYS = {"a": [row % 3 for row in range(21)], "c": ["long" if row % 7 else "short" for row in range(60)]}


def keyed(policy="uniform", keys=KEYS, tasks_per_step=2, **options):
    return TaskSampler(SIZES, batch_size=4, tasks_per_step=tasks_per_step, policy=policy, seed=9, keys=keys, **options)


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_with_keys_meet_by_key_and_resume(policy):
    whole = take(keyed(policy), 120)
    seen = {task: [] for task in SIZES}
    for batch in (batch for step in whole for batch in step.batches):
        if batch.name in KEYS:
            assert len({KEYS[batch.name][row] for row in batch.rows}) == 1
        assert 1 <= len(batch.rows) <= 4
        seen[batch.name] += batch.rows
    for task, rows in seen.items():
        for start in range(0, len(rows) - SIZES[task] + 1, SIZES[task]):
            assert sorted(rows[start : start + SIZES[task]]) == list(range(SIZES[task]))
    for cut in (1, 17, 44):
        first, second = keyed(policy), keyed(policy)
        take(first, cut)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert take(second, 30) == whole[cut : cut + 30]


def test_batches_of_the_keys_come_mixed_and_every_pass_is_another():
    sampler = TaskSampler({"c": 60}, batch_size=4, keys={"c": KEYS["c"]})
    # 9 short rows are 3 batches, 51 long ones 13.
    passes = [[step.batches[0].rows for step in take(sampler, 16)] for _ in range(3)]
    kinds = ["".join(KEYS["c"][rows[0]][0] for rows in each) for each in passes]
    assert all(sorted(kind) == sorted("s" * 3 + "l" * 13) for kind in kinds)
    assert len(set(kinds)) > 1 and len({tuple(each) for each in passes}) == 3
    plain = TaskSampler({"b": 5}, batch_size=5)
    assert len({step.batches[0].rows for step in take(plain, 6)}) > 1


def test_a_resume_with_other_keys_is_refused():
    """Names do not matter, nor do the sizes alone: which rows go together does."""
    state = keyed().state_dict()
    keyed(keys=KEYS | {"a": [f"shape {row % 3}" for row in range(21)]}).load_state_dict(state)
    swapped = KEYS | {"a": [(row + (row < 2)) % 3 for row in range(21)]}
    for keys in (swapped, {}, {"c": KEYS["c"]}):
        with pytest.raises(ValueError, match="made with other settings: keys"):
            keyed(keys=keys).load_state_dict(state)
    with pytest.raises(ValueError, match="20 keys for the 21 rows of a"):
        keyed(keys={"a": [1] * 20})


def test_a_group_has_the_batch_size_of_its_first_task():
    sampler = TaskSampler(
        {("x", "y"): 12, "z": 12}, batch_size={"x": 3, "y": 6, "z": 4}, tasks_per_step=2, policy="round_robin"
    )
    assert [len(batch.rows) for batch in next(sampler).batches] == [3, 4]
    assert sampler.steps_per_epoch == 4  # 4 and 3 batches, two a step
