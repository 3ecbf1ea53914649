"""Work side by side: in order, each piece on one core, whoever calls it and from wherever."""

import os
import threading

import pytest
import torch

from polyhead.system.threads import side_by_side


@pytest.fixture
def cores():
    """Two threads for torch, whatever the tests' machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def test_jobs_are_done_in_order_each_on_one_core_and_without_gradients(cores):
    weight = torch.ones(3, requires_grad=True)

    def work(job):
        return job, torch.get_num_threads(), (weight * job).requires_grad

    assert side_by_side(work, range(7)) == [(job, 1, False) for job in range(7)]
    assert torch.get_num_threads() == cores
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [cores]


@pytest.mark.parametrize("count", [1, 2])
def test_a_job_may_have_jobs_of_its_own(cores, count):
    torch.set_num_threads(count)
    found = []

    def deep(level):
        return level + sum(side_by_side(deep, [level - 1] * 3)) if level else 0

    thread = threading.Thread(target=lambda: found.extend(side_by_side(deep, [3, 3])), daemon=True)
    thread.start()
    thread.join(20)
    assert found == [3 + 3 * (2 + 3 * 1)] * 2


def test_many_callers_share_the_threads(cores):
    together, found, used = threading.Barrier(8), [], set()

    def call(number):
        def work(job):
            used.add(threading.get_ident())
            return number * job

        torch.set_num_threads(cores)
        together.wait()
        found.append(side_by_side(work, range(50)) == [number * job for job in range(50)])

    callers = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(20)
    assert found == [True] * 8
    assert len(used) <= cores


def test_the_first_error_is_the_callers(cores):
    def work(job):
        if job > 2:
            raise ValueError(f"job {job}")
        return job

    with pytest.raises(ValueError, match="job 3"):
        side_by_side(work, range(6))
    assert side_by_side(work, [1]) == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # other tests load JAX
def test_a_forked_process_makes_threads_of_its_own(cores):
    side_by_side(float, [1])
    child = os.fork()
    if child == 0:
        os._exit(0 if side_by_side(lambda job: 2 * job, [1, 2]) == [2, 4] else 1)
    done = threading.Event()
    status = []

    def wait():
        status.append(os.waitpid(child, 0)[1])
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    if not done.wait(20):
        os.kill(child, 9)
    assert status == [0]
