"""The doctor: what it finds on a machine, and what it says where something is missing."""

import importlib.metadata
import os
import stat
from types import SimpleNamespace

import pytest

from apps import doctor
from apps.doctor import Check, checks, memory_limit, packages, writable


def test_this_machine_has_what_is_needed():
    found = list(checks())
    names = [check.name for check in found]
    assert [str(check) for check in found if check.state == "missing"] == []
    assert (
        names[:2] == ["system", "python"]
        and "licences" in names
        and "pysam" in names
        and {"torch", "streamlit", "openvino", "chromium", "memory", "disk"} <= set(names)
    )
    assert names.index("torch starts") > names.index("working folder")
    assert all(check.found for check in found)
    assert all(check.remedy for check in found if check.state == "optional")


def test_packages_are_held_against_what_is_asked_for(monkeypatch):
    wanted = ["numpy>=2", "scipy<0.1", "no-such-package", 'ruff>=1; extra == "test"', 'x; python_version < "3"']
    monkeypatch.setattr(doctor, "requires", lambda name: wanted)
    numpy, scipy, absent = packages()
    assert numpy == Check("numpy", "ok", importlib.metadata.version("numpy"))
    assert scipy.state == "missing" and scipy.found.endswith(", needed <0.1") and "make setup" in scipy.remedy
    assert (absent.name, absent.state, absent.found) == ("no-such-package", "missing", "not installed")


def test_systems_and_pythons_that_are_supported():
    assert [doctor.system(name).state for name in ("linux", "darwin", "win32")] == ["ok", "ok", "missing"]
    assert "not on Windows" in doctor.system("win32").remedy and "WSL" in doctor.system("win32").remedy
    assert doctor.python((3, 10, 1)) == Check("python", "missing", "3.10.1", "use Python 3.11 to 3.13")
    assert [doctor.python(found).state for found in ((3, 11, 7), (3, 13, 0), (3, 14, 0))] == ["ok", "ok", "optional"]


def test_a_polyhead_that_is_not_installed_is_told():
    (only,) = packages("no-such-distribution")
    assert (only.state, only.found) == ("missing", "not installed")


def test_optional_things_say_what_they_are_good_for(monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    wanted = ['openvino>=1; extra == "fast"', 'jax>=0.6; python_version > "3" and extra == "pde"']
    wanted += ['pysam; extra == "genomics"', 'more; extra == "other"', 'pytest; extra == "test"']
    monkeypatch.setattr(doctor, "requires", lambda name: wanted)
    extras = {"Provides-Extra": ["fast", "pde", "genomics", "other", "test"]}
    monkeypatch.setattr(doctor, "metadata", lambda name: SimpleNamespace(get_all=extras.get))
    monkeypatch.setattr(doctor, "version", gone)
    monkeypatch.setattr("shutil.which", lambda name: None)
    openvino, jax, pysam, more = packages()
    assert {each.state for each in (openvino, jax, pysam, more, doctor._browser())} == {"optional"}
    assert pysam.remedy == "the genomics application: pip install -c constraints.txt -e '.[genomics]'"
    assert more.remedy == "other: pip install -c constraints.txt -e '.[other]'"
    assert "[fast]" in openvino.remedy and "the PDE application" in jax.remedy and "[pde]" in jax.remedy
    assert "chromium" in doctor._browser().remedy


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max\n"}, None),
        ({"memory.max": "2147483648\n"}, 2 * 2**30),
        ({"memory/memory.limit_in_bytes": "1024\n"}, 1024),
    ],
)
def test_the_limit_of_the_control_group(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == limit


def test_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "memory_limit", lambda: 2**30)
    assert doctor._memory() == Check(
        "memory", "optional", "1.0 GiB (limit of the container)", "under 4 GiB: take small batches (--batch-size 4)"
    )


def test_folders_that_cannot_be_written_to(tmp_path):
    assert writable("here", tmp_path, "do") == Check("here", "ok", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    absent = writable("there", tmp_path / "absent", "make it")
    assert absent.state == "missing" and "No such file" in absent.found and absent.remedy == "make it"
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert writable("here", tmp_path, "do").state == ("ok" if os.geteuid() == 0 else "missing")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_the_doctor_lists_the_decoders_of_dicom(monkeypatch):
    from domains.medical.intake import dicom_decoders
    from domains.medical.intake.dicom_decoders import Compression

    (line,) = doctor._dicom()
    assert line.name == "DICOM decoders" and "JPEG 2000 (1.2.840.10008.1.2.4.91)" in line.found
    some = [Compression("RLE (1)", "1", True), Compression("JPEG Lossless SV1 (2)", "2", False)]
    monkeypatch.setattr(dicom_decoders, "compressions", lambda: some)
    expected = "uncompressed, RLE (1); not JPEG Lossless SV1 (2)"
    remedy = "for those: pip install 'polyhead[dicom]'"
    assert list(doctor._dicom()) == [Check("DICOM decoders", "optional", expected, remedy)]
    monkeypatch.setattr(dicom_decoders, "compressions", lambda: some[:1])
    assert list(doctor._dicom()) == [Check("DICOM decoders", "ok", "uncompressed, RLE (1)")]
