"""Numbers that models have in common. Pure."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
