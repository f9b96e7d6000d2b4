"""Which numbers of threads the scaling of rates is measured with."""

import pytest

from worldmodels.benchmarks.scaling import thread_counts


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_threads_double_up_to_all_cores(cores, counts):
    assert thread_counts(cores) == counts
