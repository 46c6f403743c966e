"""`ablate audit data=... [key=value ...]`: what is to be known of data before anyone trains on them."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from omegaconf import open_dict

from ablate.command.diagnosis import mistakes, told_at_once
from ablate.command.frame import end, framed
from ablate.command.line import Line, read
from ablate.config.check import check_settings, instantiate, refuse
from ablate.config.compose import Composer, is_of_hydra, resolve
from ablate.config.settings import Config
from ablate.display import Screen
from ablate.error import UserError, refusing
from ablate.record.layout import Layout
from ablate.record.store import check_writable

_NOT_OURS = ("hydra_help", "shell_completion", "cfg", "info", "package", "resolve")
_USAGE = """\
ablate audit [group=option ...] [key=value ...], as `ablate run` takes them; only data and output_dir matter.

Looks at all splits of the data before anyone trains on them: what the loader refuses, copies, silence, constant
coefficients, features made another way, labels that lie beside their features or are another utterance's, and what is
worth a look. Leaves a page, audit.json and leave_out.txt, a list for data.leave_out, in outputs/audits/.

Examples:
  ablate audit data=hw1p2 data.root=~/11785-f24-hw1p2
  ablate audit data=aligned data.root=corpus

Exit code: 0, 1 if something must be mended, 2 for a mistake in the command."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_audit, sys.argv[1:] if arguments is None else arguments)


def _audit(arguments: list[str]) -> int:
    line = read(arguments)
    if line.flags.help or line.asks_version:
        print(_USAGE if line.flags.help else f"ablate {metadata.version('ablate')}")
        return 0
    config, option = _settings(line)
    places, screen = Layout(Path(config["output_dir"])), Screen(progress=config["progress"])
    corpus = instantiate(config, "data")
    check_writable(places)
    with refusing():
        fingerprint = corpus.fingerprint(places.cache, screen.track)
    from ablate.audit.files import write
    from ablate.audit.reading import audit
    from ablate.audit.words import lines

    found = audit(corpus, places.cache, screen.track)
    page, leave_out = write(found, places.audit(f"{option}-{fingerprint[:8]}"), f"data={option}")
    for said in lines(found, page, leave_out):
        screen.say(said)
    return 1 if found.must_be_mended else 0


def _settings(line: Line) -> tuple[Config, str]:
    """The checked config, and the option of `data`. Raises `UserError` for all that is wrong with the line."""
    if line.flags.multirun:
        raise UserError("--multirun: an audit is of one corpus; give one data=..., and no study")
    if asked := [name for name in _NOT_OURS if getattr(line.flags, name)]:
        raise UserError(f"--{asked[0].replace('_', '-')}: `ablate run` has it, an audit does not")
    overrides = [each for each in line.overrides if not is_of_hydra(each)]
    with Composer.of(line.flags, line.overrides) as composer:
        if line.problems:
            refuse([*line.problems, *mistakes(composer, overrides)])
        composed = told_at_once(composer, overrides, lambda: composer.whole(overrides))
        option = composed.hydra.runtime.choices["data"]
        with open_dict(composed):
            del composed["hydra"]
        config = told_at_once(composer, overrides, lambda: check_settings(resolve(composed), overrides))
    return config, str(option)


if __name__ == "__main__":
    end(main())
