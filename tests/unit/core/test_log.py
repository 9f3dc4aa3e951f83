import json

import pytest

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
