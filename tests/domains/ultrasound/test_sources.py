"""The cases of a source: nothing dropped, ids unique and safe, frames apart, tasks from the tables."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from domains.medical.intake.images import read_image
from domains.medical.ultrasound.asking.sources import cases_from
from domains.medical.ultrasound.data.fm_uia import write_tables
from domains.medical.ultrasound.data.rows import Row
from polyhead.batch.case import InvalidInput
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import write_path_list

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(path, format="PNG")
    return path


def ids(source, **options) -> list[str]:
    return [case.id for case in cases_from(source, **options)]


def test_one_file(tmp_path):
    path = picture(tmp_path / "a b.v2.png")
    (case,) = cases_from(path, tasks={"lung": ("segmentation", 2), "head": ("classification", 8)})
    assert (case.id, case.path, case.tasks) == ("a b.v2", path, ("lung", "head"))
    assert cases_from(str(path))[0].tasks == ()


def test_a_folder_is_searched_by_suffix_and_content(tmp_path):
    for name in ("b/c.png", "a.JPG", "b/no_suffix", "b/odd.dat", ".hidden.png", ".git/x.png", "__MACOSX/y.png"):
        picture(tmp_path / name)
    (tmp_path / "b" / "scan").write_bytes((SHIPPED / "examples_rgb_color.dcm").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"text")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "results.csv").write_text("a,b")
    assert ids(tmp_path) == ["a", "b/c", "b/no_suffix", "b/odd.dat", "b/scan", "broken"]


def test_links_are_followed_once(tmp_path):
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    picture(tmp_path / "out" / "b.png")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "out")
    assert ids(tmp_path / "in") == ["a", "more/b"]


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"found no png, jpg, bmp, tif or DICOM files in the folder .*csv_files/"):
        cases_from(tmp_path)
    with pytest.raises(ValueError, match="there is no file, folder or glob match"):
        cases_from(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="matching"):
        cases_from(tmp_path / "*.png")
    (tmp_path / "list.txt").write_text("# nothing\n\n")
    with pytest.raises(ValueError, match="found no paths in the list"):
        cases_from(tmp_path / "list.txt")


def test_ids_that_meet_keep_their_suffix(tmp_path):
    for name in ("a.png", "a.bmp", "b.png", "d/a.png"):
        picture(tmp_path / name)
    assert ids(tmp_path) == ["a.bmp", "a.png", "b", "d/a"]


def test_a_clip_gives_a_case_a_frame(tmp_path):
    (tmp_path / "clip.dcm").write_bytes((SHIPPED / "examples_ybr_color.dcm").read_bytes())
    picture(tmp_path / "clip.png")
    cases = cases_from(tmp_path)
    assert len(cases) == 31
    assert [case.id for case in cases[:2]] == ["clip.png", "clip/frame_000"]
    assert [case.options.get("frame") for case in cases] == [None, *range(30)]
    last = cases[30]
    assert read_image(last.path, last.options["frame"]).info["frame"] == 29
    (tmp_path / "clip.png").unlink()
    assert ids(tmp_path)[0] == "clip/frame_000"


def test_globs(tmp_path):
    for name in ("x/a.png", "x/y/b.png", "x/c.jpg", "z [1].png"):
        picture(tmp_path / name)
    assert ids(tmp_path / "*" / "*.png") == ["x/a"]
    assert ids(f"{tmp_path}/**/*.png") == ["x/a", "x/y/b", "z [1]"]
    assert ids(f"{tmp_path}/x*") == ["x/a", "x/c", "x/y/b"]
    assert ids(tmp_path / "z [1].png") == ["z [1]"]


def test_lists_keep_what_is_missing(tmp_path, monkeypatch):
    inside = picture(tmp_path / "d" / "a.png")
    picture(tmp_path / "e" / "u\u00a0.png")
    text = f"# [missing-file] reason\n{inside}\n  e/u\u00a0.png  \n\ne/absent.png\n{inside}\n"
    (tmp_path / "failed.txt").write_text(text, encoding="utf-8")
    cases = cases_from(tmp_path / "failed.txt")
    monkeypatch.chdir(tmp_path)
    by_name = {case.path.name: case for case in cases}
    assert sorted(by_name) == ["a.png", "absent.png", "u\u00a0.png"]
    with pytest.raises(InvalidInput, match="missing-file"):
        read_image(by_name["absent.png"].path)
    assert by_name["u\u00a0.png"].id.endswith("e/u\u00a0")


def test_a_list_of_failures_gives_the_ids_and_frames_of_the_first_run(tmp_path):
    study = tmp_path / "study"
    for name in ("a.png", "a.bmp", "deep/b.png", "deep/u\u00a0.png", "odd.dat"):
        picture(study / name)
    (study / "clip.dcm").write_bytes((SHIPPED / "examples_ybr_color.dcm").read_bytes())
    cases = cases_from(study)
    chosen = [case for case in cases if case.options.get("frame") in (None, 3, 29) and case.path.name != "a.bmp"]
    failed = tmp_path / "out" / "failed.txt"
    failed.parent.mkdir()
    failed.write_bytes(write_path_list([(case.id, str(case.path), "some reason") for case in chosen]))
    again = cases_from(failed)
    assert again == chosen
    assert [case.id for case in again if "frame" not in case.options] == ["a.png", "deep/b", "deep/u\u00a0", "odd.dat"]


def test_a_list_may_name_folders_and_searches_them(tmp_path):
    for name in ("in/a.png", "in/deep/b.png", "other/c.png"):
        picture(tmp_path / name)
    (tmp_path / "list.txt").write_text("in\nother/c.png\nin/a.png\n")
    assert ids(tmp_path / "list.txt") == ["in/a", "in/deep/b", "other/c"]


def data_root(root: Path) -> Path:
    rows = []
    for name in ("S/a.png", "S/b.png"):
        image = picture(root / name)
        rows.append(Row("lung", "segmentation", 2, image, f"../{name}", image, f"../M/{name}"))
    rows.append(Row("lung3", "classification", 3, root / "S/a.png", "../S/a.png", label=2))
    rows.append(Row("lung3", "classification", 3, root / "S/gone.png", "../S/gone.png", label=2))
    write_tables(root, rows)
    return root


def test_a_data_root_gives_an_image_once_with_its_tasks(tmp_path):
    cases = cases_from(data_root(tmp_path))
    assert [(case.id, case.tasks) for case in cases] == [
        ("S/a", ("lung3", "lung")),
        ("S/b", ("lung",)),
        ("S/gone", ("lung3",)),
    ]
    assert cases[0].options["rows"] == {
        "lung": {"image_path": "../S/a.png", "mask_path": "../M/S/a.png"},
        "lung3": {"image_path": "../S/a.png", "mask_path": None},
    }


def test_tasks_that_the_model_lacks_are_named(tmp_path):
    first, second, gone = cases_from(data_root(tmp_path), tasks={"lung": ("segmentation", 2)})
    assert first.tasks == second.tasks == ("lung",) and first.options["unknown_tasks"] == ["lung3"]
    assert gone.tasks == ("lung3",) and gone.options["unknown_tasks"] == ["lung3"]
    with pytest.raises(ValueError, match=r"lung is segmentation with 2 outputs in the tables, segmentation with 3"):
        cases_from(tmp_path, tasks={"lung": ("segmentation", 3)})


def test_rows_of_tasks_that_the_user_did_not_choose_are_not_asked(tmp_path):
    cases = cases_from(data_root(tmp_path), tasks={"lung": ("segmentation", 2)}, only=True)
    assert [(case.id, case.tasks) for case in cases] == [("S/a", ("lung",)), ("S/b", ("lung",))]
    assert all(set(case.options) == {"rows"} and set(case.options["rows"]) == {"lung"} for case in cases)
    with pytest.raises(NoInput, match="has no rows of liver"):
        cases_from(tmp_path, tasks={"liver": ("classification", 2)}, only=True)


def test_rows_that_cannot_be_understood_are_cases_that_fail(tmp_path):
    data_root(tmp_path)
    header = "image_path,task_id,task_name,num_classes,mask"
    (tmp_path / "csv_files" / "z.csv").write_text(f"{header}\n,lung3,classification,3,1\n../S/b.png,lung3,cls,3,1\n")
    bad = [case for case in cases_from(tmp_path) if "problem" in case.options]
    assert [case.id for case in bad] == ["csv_files/z.csv/line_2", "csv_files/z.csv/line_3"]
    assert "image_path is empty" in bad[0].options["problem"]
    with pytest.raises(InvalidInput, match="not-an-image"):
        read_image(bad[0].path)


def test_ids_never_leave_the_output_folder(tmp_path):
    root = tmp_path / "root"
    image = picture(tmp_path / "outside" / "a.png")
    write_tables(root, [Row("t", "classification", 2, image, "../../outside/a.png", label=0)])
    assert ids(root) == ["outside/a"]


def test_two_spellings_of_one_path_are_two_answers(tmp_path):
    image = picture(tmp_path / "S" / "a.png")
    rows = [Row("t", "classification", 2, image, text, label=0) for text in ("../S/a.png", "../S/../S/a.png")]
    write_tables(tmp_path, rows)
    cases = cases_from(tmp_path)
    assert sorted(case.options["rows"]["t"]["image_path"] for case in cases) == sorted(r.image_path for r in rows)
    assert len({case.id for case in cases}) == 2


def test_finding_cases_needs_no_heavy_library():
    code = (
        "import sys, domains.medical.ultrasound.asking.sources; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'pydicom', 'skimage', 'sklearn', 'streamlit')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
