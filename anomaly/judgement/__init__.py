"""How good the alarms were: pure functions from alarms and what really happened to figures. docs/backtest.md has the rules."""
