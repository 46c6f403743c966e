"""Several models together: means of probabilities, majorities, ties."""

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.inference.ensemble import average, vote


@given(st.data())
def test_a_vote_is_the_majority_and_a_tie_the_most_accurate_models(data: st.DataObject) -> None:
    models, frames, classes = (data.draw(st.integers(1, most)) for most in (6, 5, 4))
    rows = st.lists(st.integers(0, classes - 1), min_size=frames, max_size=frames)
    named = [data.draw(rows) for _ in range(models)]
    found = vote([torch.tensor(each, dtype=torch.uint8) for each in named], classes).tolist()
    for frame in range(frames):
        votes = [of[frame] for of in named]
        most = max(Counter(votes).values())
        assert found[frame] == next(each for each in votes if votes.count(each) == most)


def test_averages_are_those_of_the_mean() -> None:
    made = torch.rand(3, 50, 7, generator=torch.Generator().manual_seed(0)).softmax(2)
    assert torch.equal(average(list(made)).argmax(1), made.mean(0).argmax(1))
