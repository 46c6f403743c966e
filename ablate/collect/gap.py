"""Why runs of a study are still missing when all that was copied has been merged."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ablate.collect.merge import Merged
from ablate.config.override import name_of
from ablate.display import few
from ablate.error import UserError
from ablate.record import layout, reading
from ablate.record.key import RESULTS_VERSION, is_outside
from ablate.record.layout import Layout
from ablate.record.reading import CellRecord, PlanRecord, Result
from ablate.record.status import ENDED
from ablate.record.store import RunFolder, provenance

_Overrides = frozenset[str]


def lines(places: Layout, plans: Sequence[PlanRecord], merged: Merged) -> Iterator[str]:
    """How far each study is, and for each reason the cells that are missing for it."""
    ended = {result["key"]: result for result in [*_results(places), *merged.copied]}
    by_overrides = {_of_the_run(result.get("overrides", [])): result for result in ended.values()}
    for plan in plans:
        missing = [cell for cell in plan["cells"] if cell["key"] not in ended]
        number = len(plan["cells"])
        yield f"study {plan['study']}, plan {plan['plan_id']}: {number - len(missing)} of {number} runs are there"
        peers = [ended[cell["key"]] for cell in plan["cells"] if cell["key"] in ended]
        reasons = defaultdict[str, list[str]](list)
        for cell in missing:
            twin = by_overrides.get(_of_the_run(cell.get("overrides", [])))
            why = _left(places, cell, merged) or (_another(twin, peers) if twin else "in none of these folders")
            reasons[why].append(f"{cell['arm']} seed {cell['seed']}")
        for why, names in reasons.items():
            yield f"  missing: {len(names)}, {why}: {few(names, 3)}"


def _results(places: Layout) -> Iterator[Result]:
    for folder in sorted(places.runs.glob("*")):
        with contextlib.suppress(UserError):  # named by who merges it
            if result := reading.result(folder):
                yield result


def _of_the_run(overrides: Iterable[str]) -> _Overrides:
    """What overrides say of the run, and not of who trains it where."""
    return frozenset(each for each in overrides if not is_outside(name_of(each)))


def _left(places: Layout, cell: CellRecord, merged: Merged) -> str | None:
    """Why a record of the very run is no result."""
    key, here = cell["key"], RunFolder(places, cell["key"])
    if key in merged.conflicting:
        return "whose records conflict"
    if key in merged.malformed:
        return "malformed"
    if folder := merged.unfinished.get(key):
        what = "a checkpoint only" if (folder / layout.CHECKPOINT).exists() else "without a result"
        return f"unfinished, {what}, in {folder.parent}"
    with contextlib.suppress(UserError):
        if (status := here.status()) not in ("missing", *ENDED):
            return f"{status} here"
    return "unfinished here" if (here.path / layout.CHECKPOINT).exists() else None


def _another(twin: Result, peers: Sequence[Result]) -> str:
    """What makes a run of the same overrides another run, as far as the records tell."""
    fingerprint, version = twin.get("data_fingerprint", "unknown"), twin.get("results_version")
    expected = {known for each in peers if (known := each.get("data_fingerprint"))}
    code = _code(twin)
    if version != RESULTS_VERSION:
        why = f"trained by another results_version, {version} where this ablate has {RESULTS_VERSION}"
    elif expected and fingerprint not in expected:
        why = f"trained on other data, fingerprint {fingerprint} where the study has {', '.join(sorted(expected))}"
    elif code not in (usual := {_code(each) for each in peers} or {_code(provenance())}):
        why = f"trained by another ablate, {code} where the study has {', '.join(sorted(usual))}"
    else:
        why = f"trained on other data ({fingerprint}), or with another option's file or default"
    return f"{why}, as {twin['key']}"


def _code(record: Mapping[str, object]) -> str:
    versions, commit = record.get("versions"), record.get("git_commit")
    version = versions.get("ablate", "unknown") if isinstance(versions, Mapping) else "unknown"
    return f"{version} at {str(commit)[:10]}" if commit else str(version)
