"""When a shadow goes live by itself, and when a live model is taken back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proactive.record import Comparison, Found, Record, Verdict, compare, record
from proactive.staging import Promotion, Rules, StepBack, promotion, step_back, upper

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = Rules(promote=True, watched=14 * DAY, verdicts=10, least_precision=0.3)


def ended(findings: int, confirmed: int, none: int) -> Record:
    return Record(findings=findings, confirmed=confirmed, no_fault_found=none, months=20.0)


def beside(live: Record, shadow: Record, days: float = 14) -> Comparison:
    since = NOW - days * DAY
    return Comparison(
        since=since, until=NOW, live=live, shadow=shadow, both=0, shadow_first=0, live_first=0, ahead=None
    )


GOOD = beside(ended(20, 12, 4), ended(16, 12, 2))


@pytest.mark.parametrize(
    ("found", "rules", "fits", "why"),
    [
        (GOOD, RULES, True, Promotion.PROMOTED),
        (GOOD, replace(RULES, promote=False), True, Promotion.OFF),
        (GOOD, RULES, False, Promotion.OTHER_PROFILE),
        (beside(GOOD.live, GOOD.shadow, days=13.9), RULES, True, Promotion.TOO_SHORT),
        (GOOD, replace(RULES, verdicts=15), True, Promotion.FEW_VERDICTS),
        (beside(ended(0, 0, 0), GOOD.shadow), RULES, True, Promotion.FEW_VERDICTS),
        (beside(ended(20, 12, 4), ended(20, 11, 4)), RULES, True, Promotion.LESS_PRECISE),
        (beside(ended(20, 12, 4), ended(21, 12, 4)), RULES, True, Promotion.MORE_UNCONFIRMED),
        (beside(ended(20, 12, 4), ended(20, 12, 4)), RULES, True, Promotion.PROMOTED),
    ],
)
def test_promotion(found: Comparison, rules: Rules, fits: bool, why: Promotion) -> None:
    decision = promotion(found, rules, fits=fits)
    assert decision.why is why
    assert decision.why.acts is (why is Promotion.PROMOTED)
    assert str(decision).startswith(str(why))


@pytest.mark.parametrize(
    ("found", "rules", "promised", "why"),
    [
        (ended(20, 0, 9), RULES, 0.9, StepBack.FEW_VERDICTS),
        (ended(20, 2, 8), RULES, None, StepBack.BELOW_BOUND),
        (ended(20, 3, 7), RULES, None, StepBack.KEPT),
        (ended(20, 3, 7), RULES, 0.9, StepBack.BELOW_PROMISE),
        (ended(20, 5, 5), RULES, 0.9, StepBack.KEPT),  # Five of ten may be chance.
        (ended(90, 45, 45), RULES, 0.9, StepBack.BELOW_PROMISE),  # Half of ninety is none.
        (ended(90, 45, 45), RULES, 0.6, StepBack.KEPT),
        (ended(20, 0, 20), replace(RULES, least_precision=0), 0.9, StepBack.OFF),
    ],
)
def test_step_back(found: Record, rules: Rules, promised: float | None, why: StepBack) -> None:
    decision = step_back(found, rules, promised=promised)
    assert decision.why is why
    assert decision.why.acts is (why in {StepBack.BELOW_BOUND, StepBack.BELOW_PROMISE})


def test_the_reason_holds_the_figures() -> None:
    told = str(step_back(ended(20, 2, 8), RULES, promised=None))
    assert told == "its findings are confirmed too seldom: 2 of 10 confirmed, the bound is 30%"


def test_the_upper_end_of_a_share() -> None:
    # Wilson's interval of 5 of 10 is 0.2366 to 0.7634.
    assert upper(5, 10) == pytest.approx(0.7634, abs=1e-4)
    assert upper(10, 10) == pytest.approx(1.0)


def found(hours: float, *, device: int = 1, component: str = "fan", lasts: float | None = 6) -> Found:
    at = NOW + timedelta(hours=hours)
    over = None if lasts is None else at + timedelta(hours=lasts)
    return Found(device=device, component=component, opened_at=at, closed_at=over, stored_at=at)


def solved(hours: float, after: float, resolution: str, *, device: int = 1) -> Verdict:
    at = NOW + timedelta(hours=hours)
    solved_at = at + timedelta(hours=after)
    return Verdict(device=device, component="fan", opened_at=at, solved_at=solved_at, resolution=resolution)


def side_by_side(live: list[Found], shadow: list[Found], verdicts: list[Verdict]) -> Comparison:
    return compare(live, shadow, verdicts, since=NOW, until=NOW + 30 * DAY, horizon=2 * DAY, months=5.0)


def test_one_fault_is_what_lies_near_on_the_same_component() -> None:
    result = side_by_side([found(10), found(500)], [found(4), found(4, device=2), found(600)], [])
    assert (result.both, result.only_live, result.only_shadow) == (1, 1, 2)
    assert (result.shadow_first, result.live_first, result.ahead) == (1, 0, timedelta(hours=6))
    assert side_by_side([found(4)], [found(10)], []).ahead == timedelta(hours=-6)
    assert side_by_side([found(4)], [found(4, component="pump")], []).both == 0


def test_a_finding_that_stays_open_is_the_same_fault_however_late_the_other_sees_it() -> None:
    assert side_by_side([found(0, lasts=None)], [found(400)], []).both == 1
    assert side_by_side([found(0)], [found(400)], []).both == 0


def test_a_fault_that_one_knew_before_is_left_out_on_both_sides() -> None:
    result = side_by_side([found(-30, lasts=None), found(-900)], [found(3)], [])
    assert (result.live.findings, result.shadow.findings, result.both) == (0, 0, 0)


def test_a_ticket_answers_for_what_was_found_while_it_was_open_or_shortly_before() -> None:
    verdicts = [solved(10, 100, "no_fault_found"), solved(300, 20, "confirmed")]
    cases = {0: (0, 1), 60: (0, 1), 120: (0, 0), -50: (0, 0), 290: (1, 0)}
    for hours, expected in cases.items():
        result = record([found(hours)], verdicts, horizon=2 * DAY, months=1.0)
        assert (result.confirmed, result.no_fault_found) == expected, hours
    other = record([found(60, device=2)], verdicts, horizon=2 * DAY, months=1.0)
    assert other.verdicts == 0


def test_rates_are_said_only_where_there_is_something_to_say() -> None:
    result = ended(20, 12, 4)
    assert result.precision == 0.75
    assert result.false_alarms == pytest.approx(20 * 0.25 / 20)
    assert result.unconfirmed == pytest.approx(8 / 20)
    assert ended(3, 0, 0).precision is None
    assert ended(3, 0, 0).false_alarms is None
    assert replace(result, months=0.05).unconfirmed is None
