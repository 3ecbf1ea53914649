"""The 27 tasks of the FM_UIA set: what the simulator draws for each, and where its files go."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from domains.medical.ultrasound.data.rows import Kind
from domains.medical.ultrasound.simulator.anatomy import abdomen, obstetric, pelvis, superficial, thorax
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene

Draw = Callable[[np.random.Generator, Probe, int], Scene]
Preset = Literal["linear", "wide", "curved", "phased", "endocavity"]


@dataclass(frozen=True)
class Sheet:
    """One task of the simulator.

    Attributes:
        name: the column `task_id`.
        kind: what is asked.
        labels: names of the classes (background first for segmentation), of the object, or of the points.
        table: name of the csv file.
        folder: folder of the images, from the data root.
        draw: makes the scene.
        cycle: variants that the rows go through; for classification variant and class are the same.
        probe: what the picture is taken with.
        suffix: format of the images.
        borrows: (task, variants of it): rows of those variants lend their images to this task.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    table: str
    folder: str
    draw: Draw
    cycle: tuple[int, ...] = (0,)
    probe: Preset = "curved"
    suffix: str = "png"
    borrows: tuple[str, tuple[int, ...]] | None = field(default=None)

    @property
    def outputs(self) -> int:
        """The column `num_classes`."""
        return len(self.labels)


def fetal_plane(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """One of six planes of the second trimester scan."""
    draw = (obstetric.abdomen, obstetric.head, pelvis.cervix, obstetric.femur, thorax.fetal_chest, obstetric.other)
    scene = draw[variant](rng, probe, 0)
    scene.label = variant
    return scene


BACK = "background"
_POSITIONS = tuple(name for name, _ in obstetric.POSITIONS)
_SACRAL = tuple(name.replace("Occipital", "Sacral") for name in _POSITIONS)
_BREAST = "Segmentation/Two/BUSI_WHU (B-mode, simulated)"
_LUNG = "Segmentation/Two/Lung_Ultrasound_Dataset"

SHEETS: dict[str, Sheet] = {
    sheet.name: sheet
    for sheet in (
        Sheet(
            "breast_lesion", "segmentation", (BACK, "lesion"), "Seg-Two_1.BUSI_WHU.csv", _BREAST,
            superficial.breast, (0, 1, 2, 0, 1, 0, 1), "linear", "bmp",
        ),
        Sheet(
            "cardiac_multi", "segmentation", (BACK, "left ventricle", "myocardium", "left atrium"),
            "Seg-Four_1.Cardiac.csv", "Segmentation/Four/Cardiac apical", thorax.heart_apical,
            (0, 0, 0, 0, 0, 0, 0, 1), "phased",
        ),
        Sheet(
            "carotid_artery", "segmentation", (BACK, "artery"), "Seg-Two_2.Common_Carotid_Artery.csv",
            "Segmentation/Two/Common Carotid Artery", superficial.carotid_artery,
            (0, 0, 0, 0, 0, 0, 0, 1), "linear",
        ),
        Sheet(
            "cervix", "segmentation", (BACK, "cervix"), "Seg-Two_3.Cervix.csv", "Segmentation/Two/Cervix",
            pelvis.cervix_whole, (0, 0, 0, 0, 0, 0, 0, 1), "endocavity", "jpg",
        ),
        Sheet(
            "cervix_multi", "segmentation", (BACK, "anterior lip", "posterior lip"), "Seg-Three_1.FUGC.csv",
            "Segmentation/Three/FUGC", pelvis.cervix, (0, 0, 0, 0, 0, 0, 0, 1), "endocavity",
        ),
        Sheet(
            "fetal_abdomen_multi", "segmentation", (BACK, "artery", "liver", "stomach", "vein"),
            "Seg-Five_1.Fetal_Abdomen.csv", "Segmentation/Five/Fetal abdomen", obstetric.abdomen,
            (0, 0, 0, 0, 0, 0, 0, 1),
        ),
        Sheet(
            "fetal_head", "segmentation", (BACK, "head"), "Seg-Two_4.Fetal_HC.csv", "Segmentation/Two/Fetal_HC",
            obstetric.head,
        ),
        Sheet(
            "fetal_heart", "segmentation", (BACK, "heart"), "Seg-Two_5.Fetal_Heart.csv",
            "Segmentation/Two/Fetal heart", thorax.fetal_chest, (0, 0, 0, 0, 0, 0, 0, 1), "curved", "jpg",
        ),
        Sheet(
            "head_symphysis_multi", "segmentation", (BACK, "pubic symphysis", "fetal head"), "Seg-Three_2.PSFHS.csv",
            "Segmentation/Three/PSFHS", obstetric.labour, (0, 0, 0, 0, 0, 0, 0, 1), "endocavity",
        ),
        Sheet(
            "lung", "segmentation", (BACK, "lung"), "Seg-Two_6.Lung_Ultrasound.csv", _LUNG, thorax.lung_window,
            (0, 1),
        ),
        Sheet(
            "ovary_tumor", "segmentation", (BACK, "tumor"), "Seg-Two_7.Ovary_Tumor.csv",
            "Segmentation/Two/Ovary tumor (2D)", pelvis.ovary_tumor, (0, 0, 0, 0, 0, 0, 0, 1), "endocavity", "jpg",
        ),
        Sheet(
            "thyroid_nodule", "segmentation", (BACK, "nodule"), "Seg-Two_8.Thyroid_Nodule.csv",
            "Segmentation/Two/Thyroid_Nodule", superficial.thyroid, (0, 0, 0, 0, 0, 0, 0, 1), "linear",
        ),
        Sheet(
            "breast_2cls", "classification", ("benign", "malignant"), "Cls-Two_1.Breast.csv",
            "Classification/Two/Breast", superficial.breast, (0, 1), "linear", "bmp", ("breast_lesion", (0, 1)),
        ),
        Sheet(
            "breast_3cls", "classification", ("benign", "malignant", "normal"), "Cls-Three_1.Breast.csv",
            "Classification/Three/Breast", superficial.breast, (0, 1, 2), "linear", "bmp", ("breast_lesion", (0, 1, 2)),
        ),
        Sheet(
            "fetal_head_pos_cls", "classification", _POSITIONS, "Cls-Eight_1.Head_Position.csv",
            "Classification/Eight/Head_Position", obstetric.head_position, tuple(range(8)), "curved", "jpg",
        ),
        Sheet(
            "fetal_plane_cls", "classification",
            ("Fetal abdomen", "Fetal brain", "Maternal cervix", "Fetal femur", "Fetal thorax", "Other"),
            "Cls-Six_2.FETAL_PLANES_ZENODO_12,400.csv", "Classification/Six/FETAL_PLANES_ZENODO_12,400", fetal_plane,
            tuple(range(6)),
        ),
        Sheet(
            "fetal_sacral_pos_cls", "classification", _SACRAL, "Cls-Eight_2.Sacral_Position.csv",
            "Classification/Eight/Sacral_Position", obstetric.sacral_position, tuple(range(8)), "curved", "jpg",
        ),
        Sheet(
            "liver_lesion_2cls", "classification", ("HCC", "Hemangioma"), "Cls-Two_2.Liver_Lesion.csv",
            "Classification/Two/Liver Lesion", abdomen.liver_lesion, (0, 1), "curved", "jpg",
        ),
        Sheet(
            "lung_2cls", "classification", ("A-lines", "B-lines"), "Cls-Two_3.Lung.csv", "Classification/Two/Lung",
            thorax.lung_window, (0, 1), "curved", "png", ("lung", (0, 1)),
        ),
        Sheet(
            "lung_disease_3cls", "classification", ("A-lines", "B-lines", "consolidation"),
            "Cls-Three_2.Lung_Disease.csv", "Classification/Three/Lung disease", thorax.lung_window, (0, 1, 2),
            "curved", "jpg",
        ),
        Sheet(
            "organ_cls", "classification", abdomen.ORGANS, "Cls-Six_1.Organs.csv", "Classification/Six/Organs",
            abdomen.organ, tuple(range(6)),
        ),
        Sheet(
            "spinal_cord_injury_loc", "detection", ("injury",), "Det-One_1.Spinal_Cord_Injury.csv",
            "Detection/Spinal cord injury", superficial.spinal_cord, (0,), "wide",
        ),
        Sheet(
            "thyroid_nodule_det", "detection", ("nodule",), "Det-One_2.Thyroid_Nodule.csv",
            "Detection/Thyroid+nodule", superficial.thyroid, (0,), "linear", "jpg",
        ),
        Sheet(
            "uterine_fibroid_det", "detection", ("fibroid",), "Det-One_3.Uterine_Fibroid.csv",
            "Detection/uterine fibroid\u00a0ultrasound images", pelvis.uterine_fibroid, (0,), "curved", "jpg",
        ),
        Sheet(
            "FUGC", "keypoints", ("internal os", "external os"), "Reg-Two_1.FUGC.csv", "Regression/Two/FUGC",
            pelvis.cervix, (0,), "endocavity",
        ),
        Sheet(
            "IUGC", "keypoints", ("upper end of the symphysis", "lower end of the symphysis", "tangent point"),
            "Reg-Three_1.IUGC.csv", "Regression/Three/IUGC", obstetric.labour, (0,), "endocavity",
        ),
        Sheet(
            "fetal_femur", "keypoints", ("left end", "right end"), "Reg-Two_3.fetal_femur.csv",
            "Regression/Two/fetal_femur", obstetric.femur,
        ),
    )
}  # fmt: skip
"""Every task by its official name."""


def sheet(task: str) -> Sheet:
    """The task of that name; an unknown one is a `ValueError` that lists the near ones."""
    if task not in SHEETS:
        near = difflib.get_close_matches(task, SHEETS) or sorted(SHEETS)
        raise ValueError(f"the simulator has no task {task!r}; known: {', '.join(near)}")
    return SHEETS[task]
