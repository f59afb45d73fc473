"""Dask as the engine: two worker processes give the numbers of one, also when one of them is killed in the middle.

What Dask says of lost work is tried in test_sgd.py, in no time.
"""

import os
import signal
from dataclasses import fields

import numpy as np
import pytest

from convergence import problems, simulate
from convergence.ensemble import BLOCK

# Its event loops and processes warn about each other's ends, which says nothing about the numbers.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PROBLEM = problems.get("quadratic_cosine", noise=0.5, dim=4)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")  # takes seconds to import
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def same(first, second):
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def test_two_workers_give_the_numbers_of_one(client):
    run = {"step": 0.3, "steps": 50, "replicas": 16 * BLOCK, "seed": 5, "record": 5}
    seen = []
    spread = simulate(PROBLEM, executor=client.get_executor(), progress=seen.append, **run)
    same(spread, simulate(PROBLEM, **run))
    assert len(seen) == 8


def test_a_killed_worker_costs_time_only(client):
    run = {"step": 0.3, "steps": 6_000, "replicas": 8 * BLOCK, "seed": 6, "record": 5}
    victim = next(iter(client.run(os.getpid).values()))
    killed = []

    def kill(fraction):
        # When the first part of the work is done and others are under way.
        if not killed:
            os.kill(victim, signal.SIGKILL)
            killed.append(fraction)

    spread = simulate(PROBLEM, executor=client.get_executor(), progress=kill, **run)
    assert 0 < killed[0] < 0.5
    same(spread, simulate(PROBLEM, **run))
