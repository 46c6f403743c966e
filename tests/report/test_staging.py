"""What a stage before says of a study, from records alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ablate.report import decisions, staging
from ablate.report.gather import Study, gather
from ablate.report.judging import judgement
from ablate.report.words import next_steps
from tests.report.studies import recorded, said

ARMS = ["arch=cylinder", "arch=pyramid", "arch=diamond", "arch=hourglass", "arch=inverse_pyramid", "arch=custom"]


def staged(
    tmp_path: Path,
    before: Mapping[str, Sequence[float | str | None]],
    after: Mapping[str, Sequence[float | str | None]],
) -> Study:
    """The study `wide` on all data, with its stage on a fifth of them."""
    recorded(tmp_path / "part", before, name="wide-0.2")
    recorded(tmp_path / "all", after, name="wide")
    earlier = gather([tmp_path / "part"], "wide-0.2")
    return dataclasses.replace(gather([tmp_path / "all"], "wide"), before=earlier, parts={"wide-0.2": 0.2, "wide": 1.0})


def ladder(first: float, number: int = 6, seeds: int = 2) -> dict[str, list[float | str | None]]:
    """Arms that are better one after the other."""
    return {
        arm: [first + 0.02 * place + 0.001 * seed for seed in range(seeds)] for place, arm in enumerate(ARMS[:number])
    }


def test_equal_ranks_are_no_proof_that_there_are_no_others(tmp_path: Path) -> None:
    found = staging.staging(staged(tmp_path, ladder(0.3), ladder(0.5)))
    assert found and found.ranks
    rho, low, high = found.ranks
    assert rho == pytest.approx(1) and high == pytest.approx(1) and 0 < low < 0.95


def test_what_is_saved_does_not_grow_with_seeds_that_some_arms_are_given_later(tmp_path: Path) -> None:
    def of_all(after: Mapping[str, Sequence[float | str | None]], folder: str) -> float:
        found = staging.staging(staged(tmp_path / folder, ladder(0.3), after))
        assert found and found.seconds_of_all
        return found.seconds_of_all

    plain = of_all(ladder(0.5), "plain")
    assert plain == 6 * 2 * 1.5
    more = ladder(0.5) | {ARMS[5]: [0.6, 0.601, 0.602, 0.603]}
    assert of_all(more, "more") == plain + 2 * 1.5


def test_seeds_that_one_arm_was_given_settle_the_study_again(tmp_path: Path) -> None:
    """The others are not waited for: they were stopped."""
    after = ladder(0.5) | {ARMS[5]: [0.6, 0.601, 0.602, 0.603]}
    found = staging.staging(staged(tmp_path, ladder(0.3), after))
    assert found and found.promotion.is_settled


def test_where_only_the_baseline_may_be_the_best_nothing_is_left_to_run(tmp_path: Path) -> None:
    falling = {arm: [0.6 - 0.1 * place, 0.601 - 0.1 * place] for place, arm in enumerate(ARMS)}
    study = staged(tmp_path, falling, falling)
    judged, found = judgement(study), staging.staging(study)
    assert judged and found and found.promotion.may_be_best == [ARMS[0]]
    assert staging.of_those_that_may_be_best(judged, found).verdicts == []
    assert staging.of_those_that_may_be_best(judged, None) == judged
    assert next_steps(study, judged) == [
        "next: only the baseline may still be the best; nothing that would change that is left to run"
    ]


def test_a_stage_whose_runs_are_gone_is_named(tmp_path: Path) -> None:
    study = staged(tmp_path, ladder(0.3) | {ARMS[0]: ["", ""]}, ladder(0.5))
    assert staging.staging(study) is None
    assert staging.lines(study, None) == [
        "runs of the stage before, wide-0.2, are not there: what it says of this one is told when they are"
    ]


def test_all_stages_are_paid_for_a_verdict(tmp_path: Path) -> None:
    assert staging.seconds(staged(tmp_path, ladder(0.3), ladder(0.5, number=3))) == 1.5 * (12 + 6)


def test_a_stage_that_leaves_an_arm_behind_overturns_no_decision_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = staged(tmp_path, ladder(0.3), ladder(0.5, number=3))
    said(capsys, "decide", "wide-0.2", "drop hourglass", "--output-dir", str(tmp_path / "part"))
    assert study.before
    study = dataclasses.replace(study, output_dirs=[tmp_path / "part"])
    (line,) = decisions.lines(study, judgement(study))
    assert "drop hourglass" in line and "NO LONGER" not in line
