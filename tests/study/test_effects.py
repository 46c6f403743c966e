"""Main effects, interactions, steps and shrinkage: as statsmodels has them, by hand, and where cells are missing."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from ablate.study import design
from ablate.study.design import Factor
from ablate.study.effects import Term, shrinkage, steps, terms
from ablate.study.model import Model, Observation, holm

LEVELS = {"arch": ("cylinder", "pyramid", "diamond"), "optimizer": ("adamw", "sgd"), "depth": ("2", "4")}
BASELINE = "cylinder adamw 2"


def observed(
    missing: Sequence[str] = (), lost: int = 0, machines: int = 1
) -> tuple[list[Observation], dict[str, dict[str, str]]]:
    """A study whose truth is known: pyramid +1 point, sgd -0.5, and 0.8 more where both meet; noise of 0.1."""
    draw = np.random.default_rng(0)
    levels = {
        " ".join(arm): dict(zip(LEVELS, arm, strict=True))
        for arm in itertools.product(*LEVELS.values())
        if " ".join(arm) not in missing
    }
    found: list[Observation] = []
    for (arm, of), seed in itertools.product(levels.items(), range(3)):
        accuracy = 0.7 + 0.003 * seed + 0.001 * float(draw.standard_normal())
        accuracy += 0.01 * (of["arch"] == "pyramid") - 0.005 * (of["optimizer"] == "sgd")
        accuracy += 0.008 * (of["arch"] == "pyramid" and of["optimizer"] == "sgd")
        found.append(Observation(arm, seed, f"m{len(found) % machines}", accuracy))
    return found[: len(found) - lost], levels


def by_factors(found: Sequence[Term]) -> dict[tuple[str, ...], Term]:
    return {term.factors: term for term in found}


@pytest.mark.parametrize(
    ("missing", "lost", "machines"),
    [((), 0, 1), ((), 0, 2), (("diamond sgd 4",), 2, 1), (("pyramid sgd 2", "diamond adamw 4"), 1, 2)],
)
def test_effects_and_their_tests_are_those_of_statsmodels(missing: tuple[str, ...], lost: int, machines: int) -> None:
    import pandas as pd
    from scipy import stats
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    observations, levels = observed(missing, lost, machines)
    model = Model(observations, list(levels))
    runs = pd.DataFrame(
        {**levels[each.arm], "arm": each.arm, "seed": each.seed, "machine": each.machine, "y": each.accuracy}
        for each in observations
    )
    code = {name: f"C({name}, Treatment({of[0]!r}))" for name, of in LEVELS.items()}
    blocks = "C(seed) + C(machine)"
    whole = ols(f"y ~ C(arm) + {blocks}", runs).fit()
    assert model.variance == pytest.approx(whole.mse_resid) and model.degrees == whole.df_resid
    main = " + ".join(code.values())
    pairs = [f"{code[one]}:{code[other]}" for one, other in itertools.combinations(LEVELS, 2)]
    fits = {
        1: ols(f"y ~ {main} + {blocks}", runs).fit(),
        2: ols(f"y ~ {main} + {' + '.join(pairs)} + {blocks}", runs).fit(),
    }
    for order, fit in fits.items():
        found = terms(model, levels, BASELINE, order)
        chances = []
        for term in found:
            for contrast in term.contrasts:
                parts = zip(term.factors, contrast.levels, strict=True)
                name = ":".join(f"{code[factor]}[T.{level}]" for factor, level in parts)
                assert contrast.estimate.effect == pytest.approx(fit.params[name], abs=1e-12)
                error = fit.bse[name] / np.sqrt(fit.mse_resid) * np.sqrt(whole.mse_resid)
                assert contrast.estimate.spread and contrast.estimate.spread[0] == pytest.approx(error)
            mine = ":".join(code[factor] for factor in term.factors)
            others = [each for each in (list(code.values()) if order == 1 else pairs) if each != mine]
            kept = " + ".join([*others, *([main] if order == 2 else []), blocks])
            row = anova_lm(ols(f"y ~ {kept}", runs).fit(), fit, whole).iloc[1]
            chances.append(float(stats.f.sf(row["F"], row["df_diff"], whole.df_resid)))
        if order == 2:  # of main effects statsmodels' tables put the interactions into the error's stead
            assert [term.p_adjusted for term in found] == pytest.approx(holm(chances))
        assert not any(term.untold for term in found)


def test_in_a_whole_grid_they_are_differences_of_means() -> None:
    observations, levels = observed()
    model = Model(observations, list(levels))

    def mean(**wanted: str) -> float:
        return float(np.mean([o.accuracy for o in observations if wanted.items() <= levels[o.arm].items()]))

    main = by_factors(terms(model, levels, BASELINE, 1))
    assert main["arch",].contrasts[0].levels == ("pyramid",)
    assert main["arch",].contrasts[0].estimate.effect == pytest.approx(mean(arch="pyramid") - mean(arch="cylinder"))
    both = by_factors(terms(model, levels, BASELINE, 2))["arch", "optimizer"]
    by_hand = mean(arch="pyramid", optimizer="sgd") - mean(arch="cylinder", optimizer="sgd")
    by_hand -= mean(arch="pyramid", optimizer="adamw") - mean(arch="cylinder", optimizer="adamw")
    assert both.contrasts[0].estimate.effect == pytest.approx(by_hand)
    assert both.p_adjusted and both.p_adjusted < 1e-6
    others = [term.p_adjusted for term in terms(model, levels, BASELINE, 2) if term.factors != both.factors]
    assert all(p and p > 0.01 for p in others)


def test_what_a_fraction_mixes_up_is_not_told() -> None:
    factors = [Factor(name, ("0", "1")) for name in "abcd"]
    arms = design.arms("fraction", factors, 4)
    levels = {" ".join(arm): dict(zip("abcd", arm, strict=True)) for arm in arms}
    draw = np.random.default_rng(1)
    found = [Observation(arm, seed, "m", float(draw.normal(0.7, 0.001))) for arm in levels for seed in range(2)]
    model = Model(found, list(levels))
    main = terms(model, levels, " ".join(arms[0]), 1)
    assert len(main) == 4 and all(term.contrasts and not term.untold and term.p_adjusted for term in main)
    both = terms(model, levels, " ".join(arms[0]), 2)
    assert len(both) == 6 and all(term.untold and not term.contrasts and term.p_adjusted is None for term in both)


def test_steps_of_a_path() -> None:
    rows = {"a": [0.70, 0.71], "b": [0.72, 0.74], "c": [0.73, 0.73]}
    found = [Observation(arm, seed, "m", accuracy) for arm, row in rows.items() for seed, accuracy in enumerate(row)]
    first, second = steps(Model(found, list(rows)), list(rows))
    assert first[:2] == ("a", "b") and first[2].effect == pytest.approx(0.025)
    assert second[:2] == ("b", "c") and second[2].effect == pytest.approx(0.0)


def test_the_best_arm_is_shrunk_by_how_much_of_the_spread_is_noise() -> None:
    draw = np.random.default_rng(2)

    def leads(spread: float) -> tuple[float, float, float]:
        """Of the best arm over the mean: as it seems, as it is shrunk, as it is."""
        seeming, kept, real = [], [], []
        for _ in range(300):
            truth = spread * draw.standard_normal(10)
            seen = truth[:, None] + draw.standard_normal((10, 3)) + draw.standard_normal(3)
            runs = [Observation(str(a), s, "m", float(seen[a, s])) for a in range(10) for s in range(3)]
            factor = shrinkage(Model(runs, [str(arm) for arm in range(10)]))
            assert factor is not None
            means = seen.mean(1)
            best = int(means.argmax())
            seeming.append(means[best] - means.mean())
            kept.append(factor * seeming[-1])
            real.append(truth[best] - truth.mean())
        return float(np.mean(seeming)), float(np.mean(kept)), float(np.mean(real))

    for spread in (0.3, 1.0, 3.0):
        seeming, kept, real = leads(spread)
        assert seeming > real and abs(kept - real) < (seeming - real) / 2
    assert shrinkage(Model([Observation("a", 0, "m", 0.5), Observation("b", 0, "m", 0.6)], ["a", "b"])) is None
