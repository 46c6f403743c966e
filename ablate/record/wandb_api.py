"""What wandb's server is asked, beside what it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablate.error import UserError
from ablate.record import wandb_settings
from ablate.record.patience import MOST_SECONDS, within_seconds


def api() -> Any:
    """Who asks; being made, it shows the user's key to the server."""
    import wandb

    url = wandb_settings.server_url()
    return wandb.Api(overrides={"base_url": url} if url else None, timeout=MOST_SECONDS)


def unreachable(output_dir: Path) -> str | None:
    """Why the server can't be used now; none where it can."""
    wandb_settings.load(str(output_dir))
    try:
        within_seconds(api)
    except Exception as error:  # whatever a failing server makes of it
        return wandb_settings.first_line(error)
    return None


def num_rows(path: str) -> int | None:
    """How many rows of the history of a run, ENTITY/PROJECT/ID, the server has; none where it knows no such run.

    Raises `UserError` where it can't be asked.
    """
    try:
        return int(within_seconds(lambda: api().run(path.lstrip("/")).historyLineCount) or 0)
    except Exception as error:  # whatever a failing server makes of it
        said = wandb_settings.first_line(error)
        if said.startswith("Could not find run"):
            return None
        raise UserError(f"wandb: the server can't be asked for it ({said})") from error


def has_ended(path: str) -> bool:
    """Whether the server knows that a run has ended: an upload that was refused raises nothing by itself."""
    try:
        return bool(api().run(path).state != "running")
    except Exception:  # whatever a failing server makes of it
        return False
