"""The FM_UIA tables: read exactly, written in the official layout, every oddity named."""

import json
import unicodedata
from pathlib import Path

import pytest

from domains.medical.ultrasound.data.fm_uia import read_tables, relative_to_tables, write_tables
from domains.medical.ultrasound.data.rows import Row

COMMON = "image_path,task_id,task_name,num_classes"


def table(root: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    (root / "csv_files").mkdir(exist_ok=True)
    (root / "csv_files" / name).write_bytes(text.encode(encoding))
    return root


def four_kinds(root: Path) -> Path:
    table(root, "Seg-Two_1.a.csv", f"{COMMON},mask_path\n../S/i 1.png,lung,segmentation,2,../S/m 1.png\n")
    table(root, "Cls-Eight_1.b.csv", f'{COMMON},mask\n"../C/x, (2).jpg",head,classification,8,7\n')
    table(root, "Det-One_1.c.csv", f"{COMMON},x_min,y_min,x_max,y_max\n../D/d.bmp,node,detection,1,1,2.5,30,40\n")
    points = '"[1.5, 2]","[3, 4.25]"'
    return table(root, "Reg-Two_1.d.csv", f"{COMMON},point_1_xy,point_2_xy\n../R/r.png,femur,Regression,2,{points}\n")


def problem_of(root: Path, **options):
    (problem,) = read_tables(root, **options).problems
    return problem


def test_four_kinds_are_read_in_the_order_of_the_names(tmp_path):
    tables = read_tables(four_kinds(tmp_path))
    assert tables.problems == []
    head, node, femur, lung = tables.rows
    assert (head.label, head.outputs, head.image_path) == (7, 8, "../C/x, (2).jpg")
    assert head.image == tmp_path / "C" / "x, (2).jpg"
    assert node.box == (1, 2.5, 30, 40)
    assert femur.points == ((1.5, 2), (3, 4.25)) and femur.kind == "keypoints"
    assert (lung.mask, lung.mask_path) == (tmp_path / "S" / "m 1.png", "../S/m 1.png")
    assert (lung.table, lung.line) == ("Seg-Two_1.a.csv", 2)
    assert tables.tasks() == {
        "femur": ("keypoints", 2),
        "head": ("classification", 8),
        "lung": ("segmentation", 2),
        "node": ("detection", 1),
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_encodings(tmp_path, encoding):
    path = "../超声/肺 1.png" if encoding != "gb18030" else "../超声/肺\u00a01.png"
    table(tmp_path, "a.csv", f"{COMMON},mask\n{path},lung,classification,2,1\n", encoding)
    tables = read_tables(tmp_path)
    assert tables.rows[0].image_path == path
    if encoding.startswith("utf"):
        assert tables.encodings == {"a.csv": "utf-8-sig"}
    else:
        assert tables.encodings == {"a.csv": encoding}


def test_an_unknown_encoding_is_one_clear_line(tmp_path):
    table(tmp_path, "a.csv", f"{COMMON},mask\n", "utf-16")
    with pytest.raises(ValueError, match=r"a\.csv is neither utf-8 nor gbk nor gb18030; save it as utf-8"):
        read_tables(tmp_path)


def test_lines_are_the_physical_lines_of_the_file(tmp_path):
    lines = ['"../a\n b.png",t,classification,2,0', "", "../c.png,t,classification,2,1", "../d.png,t,x,2,1", ""]
    text = "\r\n".join([f"{COMMON},mask", *lines])
    tables = read_tables(table(tmp_path, "a.csv", text))
    assert [row.line for row in tables.rows] == [2, 5]
    assert tables.problems[0].where == "a.csv:6"
    assert "task_name 'x' is none of segmentation, classification, detection, Regression" in str(tables.problems[0])


@pytest.mark.parametrize(
    ("on_disk", "written", "how"),
    [
        ("uterine fibroid\u00a0images_8.png", "uterine fibroid images_8.png", "U+00A0 and space"),
        ("uterine fibroid images_8.png", "uterine\u00a0fibroid images_8.png", "U+00A0 and space"),
        (
            unicodedata.normalize("NFD", "Röntgen.png"),
            unicodedata.normalize("NFC", "Röntgen.png"),
            "Unicode normal form",
        ),
        (
            unicodedata.normalize("NFC", "Röntgen.png"),
            unicodedata.normalize("NFD", "Röntgen.png"),
            "Unicode normal form",
        ),
    ],
)
def test_other_spellings_are_found_and_recorded(tmp_path, on_disk, written, how):
    folder = tmp_path / "D\u00a0x"
    folder.mkdir()
    (folder / on_disk).touch()
    path = f"../D\u00a0x/{written}"
    tables = read_tables(table(tmp_path, "a.csv", f"{COMMON},mask\n{path},t,classification,2,0\n"))
    assert tables.rows[0].image_path == path
    assert tables.rows[0].image == folder / on_disk
    assert tables.variants == {path: how}


def test_no_other_guess_is_made(tmp_path):
    for name in ("b.png", "a  b.png", "A.png", "x\u00a0y z.png", "x y\u00a0z.png"):
        (tmp_path / name).touch()
    lines = "".join(f"../{name},t,classification,2,0\n" for name in ("a.png", "a b.png", "x y z.png"))
    tables = read_tables(table(tmp_path, "a.csv", f"{COMMON},mask\n{lines}"))
    assert [row.image.name for row in tables.rows] == ["a.png", "a b.png", "x y z.png"]
    assert tables.variants == {}


def test_verbatim_wins_and_backslashes_separate(tmp_path):
    (tmp_path / "S").mkdir()
    for name in ("a b.png", "a\u00a0b.png"):
        (tmp_path / "S" / name).touch()
    tables = read_tables(table(tmp_path, "a.csv", f"{COMMON},mask\n..\\S\\a\u00a0b.png,t,classification,2,0\n"))
    assert tables.rows[0].image == tmp_path / "S" / "a\u00a0b.png"
    assert tables.rows[0].image_path == "..\\S\\a\u00a0b.png" and tables.variants == {}


@pytest.mark.parametrize(
    ("columns", "row", "words"),
    [
        ("mask", "../a.png,t,classification,two,0", "num_classes is 'two', not a number"),
        ("mask", "../a.png,t,classification,0,0", "num_classes is 0"),
        ("mask", "../a.png,t,classification,2,0.5", "mask is '0.5', not a whole number"),
        ("mask", "../a.png,t,classification,2,", "[missing-label]"),
        ("mask", "../a.png,,classification,2,0", "task_id is empty"),
        ("mask", ",t,classification,2,0", "image_path is empty"),
        ("mask", "../a, b.png,t,classification,2,0", "6 fields under 5 columns; quote fields that hold commas"),
        ("x_min,y_min,x_max,y_max", "../a.png,t,detection,1,1,2,,4", "x_max is empty"),
        ("point_1_xy,point_2_xy", '../a.png,t,Regression,2,"[1]","[1,2]"', 'not a pair "[x, y]"'),
        ("point_1_xy,point_2_xy", '../a.png,t,Regression,2,,"[1,2]"', "[missing-label]"),
    ],
)
def test_bad_rows_are_named_and_the_others_stay(tmp_path, columns, row, words):
    good = {"mask": "0", "x_min,y_min,x_max,y_max": "1,2,3,4", "point_1_xy,point_2_xy": '"[1, 2]","[3, 4]"'}[columns]
    kind = next(name for name in ("classification", "detection", "Regression") if name in row)
    text = f"{COMMON},{columns}\n../ok.png,other,{kind},2,{good}\n{row}\n"
    tables = read_tables(table(tmp_path, "a.csv", text))
    assert [each.image_path for each in tables.rows] == ["../ok.png"]
    assert words in str(tables.problems[0]) and tables.problems[0].where == "a.csv:3"


def test_numbers_as_a_data_frame_writes_them(tmp_path):
    tables = read_tables(table(tmp_path, "a.csv", f",{COMMON},mask\n0,../a.png,t,classification,3.0,2.0\n"))
    assert (tables.rows[0].outputs, tables.rows[0].label) == (3, 2)


def test_more_or_fewer_points_stay_for_the_checks(tmp_path):
    rows = ['../a.png,t,Regression,2,"[1,2]","[3,4]","[5,NaN]"', '../b.png,t,Regression,2,"[1,2]",,']
    text = "\n".join([f"{COMMON},point_1_xy,point_2_xy,point_3_xy", *rows])
    assert [len(row.points or ()) for row in read_tables(table(tmp_path, "a.csv", text)).rows] == [3, 1]


def test_a_test_set_needs_no_labels(tmp_path):
    text = f"{COMMON},mask_path\n../a.png,lung,segmentation,2,../m.png\n../b.png,cls,classification,2,\n"
    table(tmp_path, "a.csv", text)
    with pytest.raises(ValueError, match=r"no column mask, which classification rows need \(line 3\)"):
        read_tables(tmp_path)
    lung, head = read_tables(tmp_path, labels=False).rows
    assert lung.mask_path == "../m.png" and head.label is None


@pytest.mark.parametrize("other", ["classification,3,1,", "segmentation,2,1,../m.png"])
def test_rows_that_contradict_most_of_their_task_are_left_out(tmp_path, other):
    good = "".join(f"../{name}.png,t,classification,2,1,\n" for name in "ab")
    text = f"{COMMON},mask,mask_path\n{good}../c.png,t,{other}\n../d.png,u,classification,4,3,\n"
    tables = read_tables(table(tmp_path, "a.csv", text))
    assert [row.image_path for row in tables.rows] == ["../a.png", "../b.png", "../d.png"]
    (problem,) = tables.problems
    assert problem.code == "conflicting-task" and problem.where == "a.csv:4"
    assert "classification with 2 in 2 rows" in problem.reason
    assert tables.tasks() == {"t": ("classification", 2), "u": ("classification", 4)} and not tables.lost


def test_where_nobody_knows_which_rows_are_right_the_task_is_lost(tmp_path):
    text = (
        f"{COMMON},mask\n../a.png,t,classification,2,1\n../b.png,t,classification,3,1\n../c.png,u,classification,2,\n"
    )
    tables = read_tables(
        table(tmp_path, "a.csv", text + "../d.png,v,classification,2,1\n../e.png,v,classification,2,\n")
    )
    assert [row.image_path for row in tables.rows] == ["../d.png"]
    assert {task: problem.where for task, problem in tables.lost.items()} == {"t": "a.csv:2", "u": "a.csv:4"}
    assert len(tables.problems) == 4


def test_the_scorer_takes_missing_points_as_the_corner(tmp_path):
    rows = [
        '../a.png,t,Regression,2,"[1,2]",,"[5,6]"',
        '../b.png,t,Regression,2,,"[3,4]",',
        "../c.png,t,Regression,2,,,",
    ]
    root = table(tmp_path, "a.csv", "\n".join([f"{COMMON},point_1_xy,point_2_xy,point_3_xy", *rows]))
    points = [row.points for row in read_tables(root, scorer=True).rows]
    assert points == [((1, 2), (0, 0)), ((0, 0), (3, 4)), ((0, 0), (0, 0))]
    assert not read_tables(root).rows


def test_roots_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        read_tables(tmp_path / "absent")
    with pytest.raises(ValueError, match="has no folder csv_files/"):
        read_tables(tmp_path)
    (tmp_path / "csv_files").mkdir()
    with pytest.raises(ValueError, match="holds no csv file"):
        read_tables(tmp_path)
    table(tmp_path, "a.csv", "")
    with pytest.raises(ValueError, match=r"a\.csv is empty"):
        read_tables(tmp_path)
    table(tmp_path, "a.csv", f"{COMMON},mask\n")
    with pytest.raises(ValueError, match="has a header and no rows"):
        read_tables(tmp_path)
    table(tmp_path, "a.csv", "image_path,label\n../a.png,1\n")
    with pytest.raises(ValueError, match="has no column task_id, task_name, num_classes; found: image_path, label"):
        read_tables(tmp_path)
    table(tmp_path, "a.csv", f"{COMMON},mask,mask\n../a.png,t,classification,2,1,1\n")
    with pytest.raises(ValueError, match="has the column mask twice"):
        read_tables(tmp_path)


def test_written_tables_are_read_back(tmp_path):
    names = ["../S/a, b (1).png", "../S/u\u00a0n.png", '../S/quo"te.png', "../超/声.png"]
    rows = []
    for name in names:
        image = Path(tmp_path / "csv_files" / name)
        image = tmp_path.joinpath(*image.parts[len(tmp_path.parts) + 2 :])
        box, points = (1 / 3, 2.0, 30.5, 40.0), ((1 / 7, 2.0), (3.0, 4e-7))
        rows += [
            Row("carotid", "segmentation", 2, image, name, mask=image, mask_path=name),
            Row("lung", "segmentation", 2, image, name, mask=image, mask_path=name),
            Row("planes", "classification", 6, image, name, label=5),
            Row("node", "detection", 1, image, name, box=box),
            Row("femur", "keypoints", 2, image, name, points=points),
            Row("many", "classification", 28, image, name, label=None),
        ]
    labels = {"planes": ["a", "b", "c", "d", "e", "é"]}
    files = write_tables(tmp_path, rows, labels=labels)
    assert [file.name for file in files] == [
        "Seg-Two_1.carotid.csv",
        "Seg-Two_2.lung.csv",
        "Cls-Six_1.planes.csv",
        "Det-One_1.node.csv",
        "Reg-Two_1.femur.csv",
        "Cls-28_1.many.csv",
        "labels.json",
    ]
    tables = read_tables(tmp_path, labels=False)
    assert tables.labels == {"planes": tuple(labels["planes"])}

    def bare(row: Row) -> Row:
        return Row(**{**row.__dict__, "table": "", "line": 0})

    assert sorted(map(bare, tables.rows), key=repr) == sorted(rows, key=repr)
    before = [file.read_bytes() for file in files]
    write_tables(tmp_path, rows, labels=labels)
    assert [file.read_bytes() for file in files] == before
    assert sorted(path.name for path in (tmp_path / "csv_files").iterdir()) == sorted(file.name for file in files)


def test_writing_does_not_mix_with_other_tables(tmp_path):
    row = Row("t", "classification", 2, tmp_path / "a.png", "../a.png", label=1)
    table(tmp_path, "old.csv", f"{COMMON},mask\n")
    with pytest.raises(ValueError, match=r"holds other tables \(old\.csv, 1 in all\)"):
        write_tables(tmp_path, [row])
    with pytest.raises(ValueError, match="no rows"):
        write_tables(tmp_path, [])


def test_label_names_must_be_lists_of_text(tmp_path):
    four_kinds(tmp_path)
    labels = tmp_path / "csv_files" / "labels.json"
    labels.write_text(json.dumps({"lung": "background"}))
    with pytest.raises(ValueError, match="must map each task to a list of names"):
        read_tables(tmp_path)
    labels.write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        read_tables(tmp_path)


def test_paths_relative_to_the_tables(tmp_path):
    assert relative_to_tables(tmp_path, tmp_path / "S" / "a b.png") == "../S/a b.png"
