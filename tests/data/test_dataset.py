import pytest

from raygrid.data.dataset import usual_shard


@pytest.mark.parametrize(
    ("shape", "samples"), [((1, 28, 28), 128), ((3, 64, 64), 128), ((3, 64, 65), 32), ((1, 1, 16_000), 32)]
)
def test_where_a_job_says_nothing_a_shard_has_more_samples_the_smaller_they_are(shape, samples):
    assert usual_shard(shape) == samples
