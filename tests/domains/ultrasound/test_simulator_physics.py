"""The simulator's physics against closed forms."""

import numpy as np
import pytest
from scipy import stats

from domains.medical.ultrasound.simulator.probe import Frame, Probe
from domains.medical.ultrasound.simulator.scene import Scene, acoustic_maps, everywhere
from domains.medical.ultrasound.simulator.shapes import below, ellipse
from domains.medical.ultrasound.simulator.speckle import (
    Settings,
    complex_noise,
    envelope,
    log_compress,
    point_spread,
    round_trip_loss,
)

LINEAR = Probe("linear", 8.0, 4.0, 0.5, half_width=0.6)
SECTOR = Probe("sector", 3.5, 14.0, 0.5, radius=0.4, half_angle=0.6)
QUIET = Settings(noise=-300.0)


def amplitude(probe, attenuation=0.5, echo=0.0, shape=(400, 256), settings=QUIET, seed=3):
    flat = np.zeros(shape, np.float32)
    rng = np.random.default_rng(seed)
    return envelope(rng, flat + echo, flat + attenuation, flat, probe, settings)


@pytest.mark.parametrize("probe", [LINEAR, SECTOR])
def test_fully_developed_speckle_is_rayleigh(probe):
    samples = amplitude(probe)[20:-20, 20:-20]
    assert samples.mean() / samples.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)
    assert float((samples**2).mean()) == pytest.approx(1.0, rel=0.05)
    across, along = probe.beam_sigma(400, 256).max(), probe.pulse_sigma(400)
    apart = samples[:: int(np.ceil(5 * along)), :: int(np.ceil(5 * across))].ravel()
    assert len(apart) > 300
    assert stats.kstest(apart, stats.rayleigh(scale=np.sqrt(0.5)).cdf).pvalue > 0.01


def test_scatterers_are_circular():
    noise = complex_noise(np.random.default_rng(0), (300, 300))
    assert abs(np.mean(noise**2)) < 0.01
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1.0, rel=0.02)


def test_a_point_is_blurred_by_the_stated_widths():
    reflectivity = np.zeros((401, 301), np.complex64)
    row = 200
    reflectivity[row, 150] = 1
    spread = np.abs(point_spread(reflectivity, LINEAR)) ** 2
    weights = spread / spread.sum()
    rows, columns = np.indices(weights.shape)
    # The square of a Gaussian is sqrt(2) narrower; the kernels have unit energy.
    assert np.sqrt((weights * (rows - row) ** 2).sum()) == pytest.approx(LINEAR.pulse_sigma(401) / np.sqrt(2), rel=0.02)
    across = LINEAR.beam_sigma(401, 301)[row]
    assert np.sqrt((weights * (columns - 150) ** 2).sum()) == pytest.approx(across / np.sqrt(2), rel=0.02)
    assert spread.sum() == pytest.approx(1.0, rel=0.01)


def test_the_beam_is_narrowest_at_the_focus_and_the_pulse_shortens_with_frequency():
    width = LINEAR.beam_sigma(401, 800)
    assert abs(int(np.argmin(width)) - 200) <= 1
    assert width[0] > 1.1 * width[200]
    assert width[-1] > 1.1 * width[200]
    slow, quick = (Probe("linear", f, 4.0, 0.5).pulse_sigma(4001) for f in (4.0, 8.0))
    assert slow == pytest.approx(2 * quick)


def test_attenuation_and_compensation_cancel_for_soft_tissue_and_shadow_or_enhance_else():
    loss = round_trip_loss(np.full((101, 2), 0.5, np.float32), LINEAR)
    assert loss[-1, 0] == pytest.approx(2 * 0.5 * 8.0 * 4.0, rel=0.02)

    def decibels(attenuation):
        power = amplitude(LINEAR, attenuation) ** 2
        return 10 * np.log10(power[-60:-20].mean() / power[20:60].mean())

    depth = 4.0 * 340 / 399
    assert decibels(0.5) == pytest.approx(0.0, abs=0.5)
    assert decibels(0.3) == pytest.approx(2 * 0.2 * 8 * depth, abs=0.7)
    assert decibels(0.7) == pytest.approx(-2 * 0.2 * 8 * depth, abs=0.7)


def test_gain_and_compression_are_linear_in_decibels():
    settings = Settings(dynamic_range=50.0, gain=5.0, grey=0.4)
    grey = log_compress(np.array([1.0, 10.0, 1e-9, 1e9]), settings)
    np.testing.assert_allclose(grey, [0.5, 0.9, 0.0, 1.0], atol=1e-6)


def test_time_gain_errors_act_at_their_depth():
    plain, bent = (amplitude(LINEAR, settings=Settings(noise=-300.0, tgc=tgc)) for tgc in ((0.0, 0.0), (0.0, 12.0)))
    gained = 20 * np.log10(bent[:, 0] / plain[:, 0])
    np.testing.assert_allclose(gained, np.linspace(0, 12, 400), atol=1e-3)


def test_receiver_noise_shows_where_no_echo_comes_from():
    dark = amplitude(LINEAR, echo=-200.0, settings=Settings(noise=-40.0))
    level = 20 * np.log10(np.sqrt((dark[:20] ** 2).mean()))
    assert level == pytest.approx(-40.0, abs=2.0)


def test_an_interface_answers_where_it_faces_the_beam():
    scene = Scene()
    scene.paint(everywhere, 0.0, texture=0.0)
    scene.paint(ellipse((0.0, 0.5), 0.2, 0.2), -30.0, wall=10.0)
    _, _, interface = acoustic_maps(scene, LINEAR, np.random.default_rng(0), 401, 241)
    facing = interface[100:140, 120].max()
    sideways = interface[195:206].max()
    assert facing == pytest.approx(10 ** (10 / 20), rel=0.1)
    assert sideways < 0.2 * facing


def test_later_tissue_covers_earlier_tissue():
    scene = Scene()
    scene.paint(everywhere, -3.0, texture=0.0, attenuation=1.0)
    scene.paint(below(0.5), 6.0, texture=0.0)
    echo, attenuation, _ = acoustic_maps(scene, LINEAR, np.random.default_rng(0), 101, 41)
    np.testing.assert_allclose(echo[:48], -3.0, atol=1e-5)
    np.testing.assert_allclose(echo[53:], 6.0, atol=1e-5)
    np.testing.assert_allclose(attenuation, 1.0, atol=1e-5)


@pytest.mark.parametrize("probe", [LINEAR, SECTOR])
def test_beam_and_position_are_inverse(probe):
    depth, lateral = np.meshgrid(np.linspace(0, 1, 7), np.linspace(-1, 1, 9), indexing="ij")
    back = probe.beam(*probe.position(depth, lateral))
    np.testing.assert_allclose(back[0], depth, atol=1e-6)
    np.testing.assert_allclose(back[1], lateral, atol=1e-6)


@pytest.mark.parametrize("probe", [LINEAR, SECTOR])
def test_scan_conversion_puts_every_echo_in_its_place(probe):
    frame = Frame.fitted(probe, (240, 320), 0.02, (0.3, -1.0))
    x, y = probe.grid(600, 500)
    for plane in (x, y):
        image = frame.convert(plane, outside=np.nan)
        inside = frame.field()[2]
        expected = frame.scene()[0 if plane is x else 1]
        assert np.isnan(image[~inside]).all()
        np.testing.assert_allclose(image[inside], expected[inside], atol=2e-3)
    column, row = frame.pixel((0.1, 0.7))
    xs, ys = frame.scene()
    assert xs[round(row), round(column)] == pytest.approx(0.1, abs=0.6 / frame.scale)
    assert ys[round(row), round(column)] == pytest.approx(0.7, abs=0.6 / frame.scale)


def test_a_probe_of_nonsense_is_refused():
    with pytest.raises(ValueError, match="positive lengths"):
        Probe("linear", -1.0, 4.0, 0.5)
    with pytest.raises(ValueError, match="too small"):
        Frame.fitted(LINEAR, (8, 300))
