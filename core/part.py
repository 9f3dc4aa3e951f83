"""What all parts of a profile have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_]*$"
"""What a name in a profile looks like."""
Name = Annotated[str, Field(pattern=NAME)]


class Part(BaseModel):
    """A section of a profile: it says nothing that it does not know, and is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
