"""The examples of the OpenAPI document are what the API takes and gives."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from stocks_api.api import problems, schemas

MODELS = [
    *(schemas.OrderRequest, schemas.OrderChange, schemas.OrderResolution, schemas.OrderView),
    *(schemas.KillSwitchRequest, problems.Problem),
]


@pytest.mark.parametrize("model", MODELS)
def test_the_examples_of_a_model_are_valid(model: type[BaseModel]) -> None:
    examples: list[Any] = model.model_json_schema()["examples"]
    assert examples
    for example in examples:
        found = model.model_validate(example).model_dump(mode="json")
        assert example.keys() <= found.keys()
