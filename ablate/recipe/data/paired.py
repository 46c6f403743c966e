"""torchaudio, which is imported from here once it is known to fit torch: its own refusal names a library's symbols."""

from ablate.recipe.data.installed import check_pair

check_pair()

import torchaudio  # noqa: E402

__all__ = ["torchaudio"]
