"""The build hook that brings the pages' files from npm."""

import json
from pathlib import Path

import pytest

import hatch_build


def test_the_lock_pins_versions_and_checksums_and_names_no_registry() -> None:
    text = (hatch_build.ROOT / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text
    wanted = json.loads((hatch_build.ROOT / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        locked = json.loads(text)["packages"][f"node_modules/{name}"]
        assert locked["version"] == version
        assert locked["integrity"].startswith("sha512-")


def test_files_come_with_their_licences_once(tmp_path: Path) -> None:
    assert hatch_build.fetch(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {*hatch_build.FILES.values(), hatch_build.STAMP}
    assert "Permission to use" in (tmp_path / "htmx.LICENSE.txt").read_text()
    assert not hatch_build.fetch(tmp_path), "current files are not fetched again"
    (tmp_path / "uPlot.min.js").unlink()
    assert hatch_build.fetch(tmp_path), "a lost file is"
    (tmp_path / hatch_build.STAMP).write_text("of another lock\n")
    assert hatch_build.fetch(tmp_path), "and so are old ones"


def test_a_failing_npm_says_why_and_leaves_no_half_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(hatch_build.FetchFailed, match=r"(?s)npm registry.*ECONNREFUSED"):
        hatch_build.fetch(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()
