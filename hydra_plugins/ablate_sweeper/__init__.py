"""The door through which Hydra's --multirun comes to `ablate.sweep`: Hydra finds plugins only here."""

from __future__ import annotations

from typing import Any, ClassVar

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Runs a study's cells by any of Hydra's launchers."""

    arguments: ClassVar[list[str]] = []
    """The study's overrides, which Hydra itself is not shown; those it was given where they are not set."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra calls first."""
        self.config = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """What Hydra calls then, with the command line's overrides."""
        from ablate.sweep import sweep

        return sweep(StudySweeper.arguments or arguments, self.launcher)
