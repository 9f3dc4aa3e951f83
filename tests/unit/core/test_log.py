import json

import pytest
from structlog.testing import capture_logs

from core import log


def test_a_secret_never_reaches_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO", "json")
    log.get("here").info("signed in", mqtt_password="hunter2", api_token="hunter2", Authorization="hunter2", user="me")
    line = capsys.readouterr().err
    assert "hunter2" not in line
    assert json.loads(line) | {"timestamp": 0} == {
        "event": "signed in",
        "logger": "here",
        "level": "info",
        "timestamp": 0,
        "mqtt_password": "***",
        "api_token": "***",
        "Authorization": "***",
        "user": "me",
    }


def test_a_logger_in_use_follows_when_logging_is_set_up_anew(capsys: pytest.CaptureFixture[str]) -> None:
    logger = log.get("here")
    log.configure("INFO", "text")
    logger.info("as text")
    assert capsys.readouterr().err.rstrip().endswith("[here]")
    log.configure("INFO", "json")
    logger.info("as json")
    assert json.loads(capsys.readouterr().err)["event"] == "as json"
    with capture_logs() as said:
        logger.info("kept")
    assert [line["event"] for line in said] == ["kept"]
