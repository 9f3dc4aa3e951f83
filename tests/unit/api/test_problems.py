"""The table from errors to HTTP is complete."""

import inspect

from api import access, problems
from core import errors


def test_each_error_of_the_tree_has_a_status() -> None:
    tree = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ForewarnError)]
    assert len(tree) >= 9
    for kind in [*tree, access.NotSignedIn]:
        assert kind in problems.STATUS, f"{kind.__name__} has no HTTP status"


def test_what_may_pass_is_503_and_what_a_caller_can_mend_is_4xx() -> None:
    for kind, status in problems.STATUS.items():
        assert (status == 503) is issubclass(kind, errors.Temporary)


def test_an_error_of_a_stage_has_the_status_of_its_parent() -> None:
    class Elsewhere(errors.Conflict):
        pass

    assert problems.status_of(Elsewhere("x")) == 409
