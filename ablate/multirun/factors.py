"""What a multirun's command line gives: what is the same in all cells, the factors, and all that is wrong with both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import OmegaConf

from ablate.command.diagnosis import mistakes, slip
from ablate.config.check import MOST_PROBLEMS, check_settings, refuse
from ablate.config.compose import Composer
from ablate.config.compositions import Compositions
from ablate.config.override import canonical_override, for_shell, name_of, sign_of, value_of
from ablate.error import UserError
from ablate.multirun.levels import in_hydras_words, levels_of
from ablate.record.key import PLACES_OF_DATA, is_outside
from ablate.study import design
from ablate.study.design import Factor

_NO_FACTORS = {
    "seed": "a seed is no factor but repeats every arm: study.seeds=3, or 'study.seeds=[0,5,7]'",
    "study": "settings of the whole study: give one value",
    "team": "the same for the whole study: give your own number, team.member=2",
    "wandb": "the same for the whole study: give one value",
}
_LISTS = {"study.seeds": "seeds", "team.stores": "folders"}
_FILES = ("study", "experiment")  # groups whose files may set a study


@dataclass(frozen=True)
class Given:
    """The overrides that are the same in all cells, and the factors in order, each with the sign before its name."""

    fixed: list[str]
    factors: list[Factor]
    signs: dict[str, str]

    def levels(self, factors: Sequence[Factor], arm: Sequence[str]) -> list[str]:
        """The overrides of an arm of these factors."""
        return [f"{self.signs[factor.name]}{factor.name}={level}" for factor, level in zip(factors, arm, strict=True)]


def factors_of(composer: Composer, arguments: Sequence[str]) -> tuple[Given, list[str]]:
    """What a command line gives, and what is to be said of its factors."""
    in_file = _factors_of_file(composer, [each for each in arguments if name_of(each) in _FILES])
    levels, notes = {name: each for name, (_, each) in in_file.items()}, []
    signs = {name: sign for name, (sign, _) in in_file.items()}
    for argument in arguments:
        name, override = name_of(argument), composer.parsed(argument)
        if name.startswith("study.factors"):
            raise UserError(
                f"{name}: is for a study's file; on the command line give the levels: arch=cylinder,pyramid"
            )
        if not override.is_sweep_override() and name not in in_file:
            continue
        _, before = in_file.get(name, ("", ()))
        levels[name] = levels_of(override)
        signs[name] = sign_of(argument) or signs.get(name, "")
        if in_file and before != levels[name]:
            was = f"instead of {', '.join(before)}" if before else "which the study's file does not have"
            notes.append(f"{name}: {', '.join(levels[name])}, {was}")
    if len(levels) > design.MOST_FACTORS:
        raise UserError(f"study.factors: expected at most {design.MOST_FACTORS} factors, found {len(levels)}")
    typed = {name_of(each): value_of(each) for each in arguments}
    refuse(problem for name in levels if (problem := _no_factor(name, typed.get(name, ""))))
    refuse(
        f"{part}: is a part of {name}, whose levels would replace it; give all of it with each level of {name}"
        for name in levels
        for part in {**typed, **levels}
        if part.startswith(f"{name}.") and not composer.is_group(name)
    )
    fixed = [argument for argument in arguments if name_of(argument) not in levels]
    return Given(fixed, [Factor(name, given) for name, given in levels.items()], signs), notes


def _no_factor(name: str, typed: str) -> str | None:
    """Why a key can't be a factor."""
    if what := _LISTS.get(name):
        return f"{name}: can't be swept; a list of {what} stands in brackets: {for_shell(f'{name}=[{typed}]')}"
    if reason := _NO_FACTORS.get(name.split(".")[0].split("@")[0]):
        quoted_text = for_shell(f'{name}="{typed}"')
        text = f"; a text with a comma stands in quotes: {quoted_text}" if ", " in typed else ""
        return f"{name}: can't be swept; {reason}{text}"
    if is_outside(name.replace("/", ".")) and name not in PLACES_OF_DATA:
        return f"{name}: can't be swept, since it can't change a result; give one value"
    return None


def _factors_of_file(composer: Composer, chosen: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The sign and the levels of a ready study's factors, each a YAML list, one level, or Hydra's syntax in a string.

    That is all that a file may say of them: what is no key or group with its sign is refused, since files travel.
    """
    of_files = [each for each in chosen if not composer.is_sweep(each)]
    try:
        content, without = (OmegaConf.to_container(composer.compose(each)) for each in (of_files, []))
    except Exception:
        refuse(mistakes(composer, of_files, multirun=True))
        raise
    assert isinstance(content, dict) and isinstance(without, dict)
    study = [each for each in of_files if name_of(each) == "study"]
    alone = OmegaConf.to_container(composer.compose(study))
    assert isinstance(alone, dict)
    changed = [str(name) for name in alone if name != "study" and alone[name] != without.get(name)]
    if changed:
        raise UserError(
            f"{study[0]}: its file sets {changed[0]}; a factor with one level does: factors: {{{changed[0]}: [...]}}"
        )
    given = (content.get("study") or {}).get("factors") or {}
    if not isinstance(given, dict):
        raise UserError(f"study.factors: expected groups and keys with their levels, found {given!r}")
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for key_or_group, value in given.items():
        written = canonical_override(str(key_or_group))
        name, sign = name_of(written), sign_of(written)
        if name in found:
            raise UserError(f"study.factors.{name}: given twice; give it once")
        if isinstance(value, dict) or value in (None, []):
            raise UserError(
                f"study.factors.{name}: expected a list of levels, such as arch.depth: [2, 4], found {value!r}"
            )
        override = composer.parsed(f"{written}={in_hydras_words(name, value)}")
        if override.get_key_element() != written or override.is_delete():
            raise UserError(f"study.factors.{written}: expected a key or a group, such as arch.depth")
        found[name] = sign, levels_of(override)
    return found


def all_mistakes(composer: Composer, arguments: Sequence[str]) -> list[str]:
    """All that is wrong with a multirun's command line, as far as that needs no plan."""
    found = [said for each in arguments if (said := slip(composer, each, multirun=True))]
    try:
        given, _ = factors_of(composer, [each for each in arguments if not slip(composer, each, multirun=True)])
        return [*found, *mistakes_of_all(composer, given)]
    except UserError as error:
        lines = str(error).splitlines()
        told = {line.partition(": ")[0] for line in lines}
        others = [each for each in arguments if name_of(each) not in (*told, "study") and not composer.is_sweep(each)]
        further = mistakes(composer, others, multirun=True)
        given_names = {name_of(each) for each in arguments}  # of which those that are told of are no longer there
        missing = [line for line in further if ": missing" in line and line.partition(":")[0] in given_names]
        return [*found, *lines, *(line for line in further if line not in missing)]


def mistakes_of_all(composer: Composer, given: Given) -> list[str]:
    """All that is wrong with what is the same in all cells, and with each level beside the first of the others.

    Of a factor's levels that do not compose, only so many as are shown: what is wrong takes a tenth of a second each.
    """
    first = given.levels(given.factors, [factor.levels[0] for factor in given.factors])
    found = mistakes(composer, [*given.fixed, *first], multirun=True)
    wrong = {name_of(line.partition(":")[0]) for line in found}
    sound = [each for each in (*given.fixed, *first) if name_of(each) not in wrong]
    compositions = Compositions(composer)
    for factor in given.factors:
        others, left = [each for each in sound if name_of(each) != factor.name], MOST_PROBLEMS
        for level in given.levels([factor] * len(factor.levels), factor.levels):
            overrides = [*others, level]
            try:
                check_settings(compositions.resolve(overrides), overrides)
            except UserError as error:
                found += str(error).splitlines()
            except Exception:
                found += mistakes(composer, overrides, multirun=True)
                left -= 1
            if not left:
                break
    without_remedy = {line.partition(";")[0]: line for line in reversed(found)}  # which other levels may change
    return [line for line in dict.fromkeys(found) if line in without_remedy.values()]
