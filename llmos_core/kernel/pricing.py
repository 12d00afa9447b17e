"""What a model request costs, from its tokens. Prices are data (``prices.toml``), extended by the settings."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from llmos_core.contracts import ModelRequest
from llmos_core.errors import UsageError
from llmos_core.records import Record, Usage

_DATED = re.compile(r"-\d{8}$")
_MILLION = 1_000_000
_DEFAULT_MAX_TOKENS = 32_000


NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(Record):
    """List price of a model in US dollars per million tokens; cache prices are multiples of ``input``."""

    input: NotNegative
    output: NotNegative
    cache_read: NotNegative = 0.1
    cache_write_5m: NotNegative = 1.25
    cache_write_1h: NotNegative = 2.0
    web_search_usd: NotNegative = 0.01

    def micros(self, usage: Usage) -> int:
        """The cost of a usage in micro-dollars, rounded up: dollars per million tokens are micro-dollars a token."""
        weighted = (
            usage.input_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write_5m * usage.cache_write_5m_tokens
            + self.cache_write_1h * usage.cache_write_1h_tokens
        )
        cost = self.input * weighted + self.output * usage.output_tokens
        total = cost + self.web_search_usd * _MILLION * usage.web_searches
        return math.ceil(round(total, 6))  # rounded first: 3 x 0.1 is more than 0.3 in binary

    def worst_micros(self, request: ModelRequest) -> int:
        """An upper bound for a request: no token is shorter than a byte, and all of it may be written to the cache."""
        asked = request.message.get("max_tokens")
        output = asked if isinstance(asked, int) else _DEFAULT_MAX_TOKENS
        return self.micros(Usage(cache_write_1h_tokens=len(request.body), output_tokens=output))


FREE = Price(input=0, output=0, web_search_usd=0)


@lru_cache(maxsize=1)
def _list_prices() -> Mapping[str, Price]:
    data = tomllib.loads(files(__package__).joinpath("prices.toml").read_text("utf-8"))
    return {model: Price.model_validate(price) for model, price in data["models"].items()}


def price_of(model: str, own: Mapping[str, Price], priced: bool) -> Price:
    """The price of a model: from ``own`` (the settings), else the list.

    ``priced`` False means that an unknown model costs nothing (it runs locally). Raises UsageError for a
    remote model without a price: guessing would make every figure wrong.
    """
    for name in (model, _DATED.sub("", model)):
        if name in own:
            return own[name]
        if priced and name in _list_prices():
            return _list_prices()[name]
    if not priced:
        return FREE
    raise UsageError(
        f"No price is known for the model {model}.",
        "Costs are measured, never guessed.",
        f'Add it to your own config.toml: [prices."{model}"] with input and output in US dollars per million tokens.',
    )
