"""What is said of mistakes."""

from ablate.error import UserError, clipped


def test_what_is_quoted_at_length_is_clipped_in_the_middle() -> None:
    long = f"arch.activation: found {'x' * 1_000_000!r}; did you mean relu?"
    said = str(UserError(f"first\n{long}"))
    first, second = said.split("\n")
    assert first == "first" and len(second) < 1000
    assert second.startswith("arch.activation: found 'xxx") and second.endswith("did you mean relu?")
    assert f"({len(long):,} characters)" in second and clipped("short") == "short"
