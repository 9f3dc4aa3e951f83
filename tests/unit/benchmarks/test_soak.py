import pytest

from benchmarks.soak import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--database-away", "10"], "'10' is no time; write one like 90s or 10min"),
        (["--database-away", "0s"], "'0s' is no time"),
        (["--database-away=-5min"], "'-5min' is no time"),
        (["--minutes", "10", "--database-away", "10min"], "600 s leave nothing of --minutes 10; give more minutes"),
        (["--minutes", "1", "--database-away", "90s"], "90 s leave nothing of --minutes 1"),
    ],
)
def test_an_outage_that_cannot_be_meant_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
