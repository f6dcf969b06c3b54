"""policies/prices.yaml: what a call costs. A model without a price cannot be used, because no limit could hold for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.domain.model import Usage
from bot.policy.problems import PolicyError

MILLION = 1_000_000
Dollars = Annotated[float, Field(ge=0, le=10_000)]
ModelName = Annotated[str, Field(pattern=r"^(openai|anthropic):\S+$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    written: Dollars | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    prices: Annotated[dict[ModelName, _Entry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one million tokens."""

    input: float
    cached: float
    written: float
    output: float


@dataclass(frozen=True, slots=True)
class Prices:
    of: Mapping[str, Price]
    file: str = "policies/prices.yaml"

    @property
    def models(self) -> frozenset[str]:
        return frozenset(self.of)

    def cost(self, model: str, usage: Usage, written: int = 0) -> float:
        """US dollars of one call. `written` is the part of the prompt that went into the provider's cache.

        Raises PolicyError for a model without a price.
        """
        price = self.of.get(model)
        if price is None:
            known = ", ".join(sorted(self.of))
            raise PolicyError(self.file, f"prices.{model}", "this model has no price", f"Add a line. Known: {known}")
        fresh = max(0, usage.prompt - usage.cached - written)
        dollars = fresh * price.input + usage.cached * price.cached + written * price.written
        return (dollars + usage.completion * price.output) / MILLION


def load_prices(path: Path) -> Prices:
    """Raises PolicyError, naming file and field."""
    shown = f"{path.parent.name}/{path.name}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = _File.model_validate(content)
    except OSError as error:
        raise PolicyError(shown, "", f"it cannot be read ({error.strerror})", "Restore it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(shown, "", f"this is no YAML: {' '.join(str(error).split())}", "Mend the line") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "[key]")
        mend = "A line is `openai:<model>: {input: 2.50, cached: 0.25, output: 15.00}`"
        raise PolicyError(shown, field, first["msg"], mend) from error
    prices = {
        name: Price(
            entry.input,
            entry.input if entry.cached is None else entry.cached,
            entry.input if entry.written is None else entry.written,
            entry.output,
        )
        for name, entry in file.prices.items()
    }
    return Prices(prices, shown)
