"""How the listings of the REST API are cut into pages."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api import cursor
from api.answers import Words
from core.database import Row

Limit = Annotated[int, Query(ge=1, le=500, description="How many at the most.")]
Cursor = Annotated[Words | None, Query(max_length=1000, description="`next` of the page before.")]
Name = Annotated[Words | None, Query(max_length=200)]


def listing(
    kind: type[BaseModel], rows: list[Row], limit: int, key: Callable[[Row], tuple[int | str, ...]]
) -> dict[str, Any]:
    """One page out of `limit` + 1 rows: the row beyond tells that there is a next page."""
    shown = rows[:limit]
    following = cursor.encode(*key(shown[-1])) if len(rows) > limit else None
    return {"items": [kind.model_validate(row) for row in shown], "next": following}


def by_id(row: Row) -> tuple[int | str, ...]:
    """The key of rows that are listed by their number."""
    return (row["id"],)


def after_id(text: str | None) -> int | None:
    """The number in a cursor of rows that are listed by it."""
    return cursor.numbers(text, 1)[0] if text else None
