"""Criteria of the house that hold where the human said nothing: policies/standards.yaml."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StandardsFile(BaseModel):
    """policies/standards.yaml as written: a key and what must be true."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    standards: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,40}$")], Annotated[str, Field(min_length=10, max_length=300)]
    ]

    def typed(self) -> Mapping[str, str]:
        return dict(self.standards)
