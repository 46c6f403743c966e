"""The numbers a config may hold: each annotation states type and range once, for the check of every node."""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from ablate.quantity.valid import After, Before

_MOST = 1e38  # about what float32 can hold


def _whole(value: Any) -> Any:
    """Take `5e6`, which YAML and Hydra read as a float, for the integer it means."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _of_float32(value: float) -> float:
    if abs(value) > _MOST:
        raise ValueError(f"expected at most {_MOST:g}, since it is computed with in float32")
    return value


Integer = Annotated[int, Before(_whole)]
Count = Annotated[Integer, Ge(1)]
NonNegativeInteger = Annotated[Integer, Ge(0)]
Positive = Annotated[float, Gt(0), After(_of_float32)]
NonNegative = Annotated[float, Ge(0), After(_of_float32)]
Fraction = Annotated[float, Ge(0), Le(1)]
PositiveFraction = Annotated[float, Gt(0), Le(1)]
InnerFraction = Annotated[float, Gt(0), Lt(1)]
ProperFraction = Annotated[float, Ge(0), Lt(1)]
