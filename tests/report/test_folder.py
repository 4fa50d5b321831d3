import csv
import json
import os
import pathlib

import numpy as np
import pytest

from jaxviz import report


def small_page(name="map"):
    figure = report.Figure([report.Picture(name, np.zeros((2, 2, 3), np.uint8), "black")], "c")
    return report.Page("A run", [report.Section("s", [report.Gallery([figure])])])


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_is_page_pictures_and_numbers(tmp_path):
    sheet = report.Picture("sheet", np.zeros((5, 5, 3), np.uint8), "all")
    numbers = {"drop": np.arange(4.0).reshape(2, 2), "top": np.int64(3), "name": "x"}
    out = tmp_path / "a" / "run"
    written = report.write_run(out, small_page(), numbers=numbers, sheets=[sheet])
    assert files(out) == ["index.html", "map.png", "numbers.json", "sheet.png"]
    assert sorted(path.name for path in written) == files(out)
    assert files(tmp_path)[0] == "a"
    assert len(files(tmp_path)) == 6
    assert json.loads((out / "numbers.json").read_text()) == {
        "drop": [[0.0, 1.0], [2.0, 3.0]],
        "top": 3,
        "name": "x",
    }


def test_a_second_run_replaces_its_files_and_leaves_others(tmp_path):
    report.write_run(tmp_path, small_page(), numbers={"run": 1})
    (tmp_path / "mine.txt").write_text("keep")
    report.write_run(tmp_path, small_page("other"), numbers={"run": 2})
    assert files(tmp_path) == ["index.html", "map.png", "mine.txt", "numbers.json", "other.png"]
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"run": 2}


def test_tables_are_comma_separated_files(tmp_path):
    table = report.Table(["name", "value"], [["a, b", 1], ['say "c"', 0.5]])
    written = report.write_run(tmp_path, small_page(), numbers={}, tables={"all": table})
    assert "all.csv" in [path.name for path in written]
    with (tmp_path / "all.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "value"], ["a, b", "1"], ['say "c"', "0.5"]]


@pytest.mark.parametrize("numbers", [{"x": float("nan")}, {"x": object()}])
def test_a_run_that_fails_leaves_nothing(tmp_path, numbers):
    with pytest.raises((ValueError, TypeError)):
        report.write_run(tmp_path / "run", small_page(), numbers=numbers)
    assert files(tmp_path) == []


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        report.write_run(tmp_path / "run", small_page(), numbers={})
    with pytest.raises(OSError, match="No space"):
        report.write_file(tmp_path / "x.csv", "1")
    assert files(tmp_path) == []


def test_unwritable_folders_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"cannot write to .*out.*file' is not a folder"):
        report.check_writable(tmp_path / "file" / "out")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        report.write_run(tmp_path / "file", small_page(), numbers={})
    assert files(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="takes no files"):
        report.check_writable(tmp_path / "out")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that takes no files")
def test_a_read_only_disk_is_named():
    with pytest.raises(PermissionError, match="'/proc' takes no files"):
        report.check_writable("/proc/out")


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a mount point to write to")
def test_a_mount_point_is_written_to(tmp_path):
    before = set(os.listdir("/dev/shm"))
    figure = f"jaxviz-test-{os.getpid()}"
    kept = [name for name in ("index.html", "numbers.json") if name in before]
    if kept:
        pytest.skip(f"/dev/shm has {kept} already")
    try:
        report.write_run("/dev/shm", small_page(figure), numbers={})
        new = set(os.listdir("/dev/shm")) - before
        assert {"index.html", "numbers.json", f"{figure}.png"} <= new
        assert not [name for name in new if name.endswith(".partial")]
    finally:
        for name in ("index.html", "numbers.json", f"{figure}.png"):
            pathlib.Path("/dev/shm", name).unlink(missing_ok=True)
