"""The physics on the beams: scatterers, point spread, attenuation, time-gain compensation, log compression.

Model. Unresolved scatterers make a circular complex Gaussian reflectivity whose variance is the echogenicity; a pulse
and a beam profile blur it (shift-variant across depth); the envelope of fully developed speckle is then Rayleigh
distributed, mean / standard deviation = sqrt(pi / (4 - pi)) = 1.91 (Burckhardt 1978; Wagner et al. 1983).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.shapes import Array

SOFT_TISSUE = 0.5
"""Attenuation of soft tissue, dB / (cm MHz), that time-gain compensation is set for."""


@dataclass(frozen=True)
class Settings:
    """What the operator turns.

    Attributes:
        dynamic_range: decibels between black and white.
        gain: decibels added everywhere.
        tgc: errors of the time-gain compensation in decibels at evenly spaced depths, linear between them.
        noise: level of the receiver's noise at the face in decibels relative to soft tissue; it rises with depth as
            the compensation amplifies it.
        grey: where soft tissue stands between black (0) and white (1) at no gain.
    """

    dynamic_range: float = 60.0
    gain: float = 0.0
    tgc: tuple[float, ...] = field(default=(0.0, 0.0, 0.0))
    noise: float = -55.0
    grey: float = 0.42


def complex_noise(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Circular complex Gaussian samples of unit mean power, complex64."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def point_spread(reflectivity: NDArray[np.complex64], probe: Probe) -> NDArray[np.complex64]:
    """Blurs (samples, lines) with the axial pulse and, row by row, the beam profile of that depth.

    Both kernels are Gaussians of unit energy, so that white reflectivity keeps its mean power at every depth. Done in
    the frequency domain; beyond the border lie zeros, as wide as four standard deviations of the widest kernel.
    """
    from scipy import fft

    samples, lines = reflectivity.shape
    across, along = probe.beam_sigma(samples, lines), probe.pulse_sigma(samples)
    size = fft.next_fast_len(lines + int(np.ceil(4 * float(across.max()))))
    kernel = _gaussian(fft.fftfreq(size).astype(np.float32)[None, :], across[:, None])
    spectrum = np.asarray(fft.fft(reflectivity, size, axis=1))
    blurred = np.asarray(fft.ifft(spectrum * kernel, axis=1))[:, :lines]
    size = fft.next_fast_len(samples + int(np.ceil(4 * along)))
    kernel = _gaussian(fft.fftfreq(size).astype(np.float32)[:, None], np.full((1, 1), along, np.float32))
    spectrum = np.asarray(fft.fft(blurred, size, axis=0))
    return np.asarray(fft.ifft(spectrum * kernel, axis=0))[:samples]


def _gaussian(frequency: Array, sigma: Array) -> Array:
    """Transfer function of a Gaussian of unit energy: the sum of the squared kernel is 1."""
    height = np.sqrt(2 * np.sqrt(np.pi) * sigma)
    return (height * np.exp(-2 * (np.pi * sigma * frequency) ** 2)).astype(np.float32)


def smooth_gain(probe: Probe, samples: int, lines: int, thickness: float) -> Array:
    """Factor by which `point_spread` raises a coherent Gaussian layer `thickness` samples thick, (samples,)."""
    across, along = probe.beam_sigma(samples, lines), probe.pulse_sigma(samples)
    axial = np.sqrt(2 * np.sqrt(np.pi) * along) * thickness / np.hypot(thickness, along)
    return (np.sqrt(2 * np.sqrt(np.pi) * across) * axial).astype(np.float32)


def round_trip_loss(attenuation: Array, probe: Probe) -> Array:
    """Decibels lost to every depth and back, (samples, lines), from the attenuation map in dB / (cm MHz)."""
    step = probe.depth / (attenuation.shape[0] - 1)
    return np.cumsum(attenuation, axis=0, dtype=np.float32) * np.float32(2 * step * probe.frequency)


def envelope(
    rng: np.random.Generator,
    echogenicity: Array,
    attenuation: Array,
    interface: Array,
    probe: Probe,
    settings: Settings,
    thickness: float = 1.5,
) -> Array:
    """Detected amplitude after time-gain compensation, (samples, lines), soft tissue at a root mean square of 1.

    Args:
        rng: source of the scatterers and of the noise.
        echogenicity: mean backscatter, dB relative to soft tissue, (samples, lines).
        attenuation: dB / (cm MHz), same form.
        interface: amplitude of specular reflection (relative to soft tissue's), same form.
        probe: sets the point spread and the frequency.
        settings: noise and time-gain errors.
        thickness: profile of the interfaces, samples, for their calibration.
    """
    samples, lines = echogenicity.shape
    scatterers = complex_noise(rng, (samples, lines)) * _amplitude(echogenicity)
    coherent = interface / smooth_gain(probe, samples, lines, thickness)[:, None]
    echo = point_spread(scatterers + coherent, probe)
    depth = np.linspace(0, 1, samples, dtype=np.float32)
    compensation = 2 * SOFT_TISSUE * probe.frequency * probe.depth * depth
    errors = np.interp(depth, np.linspace(0, 1, len(settings.tgc)), settings.tgc).astype(np.float32)
    echo *= _amplitude(compensation[:, None] - round_trip_loss(attenuation, probe))
    # The compensation stops at 45 dB of amplification for the noise, as receivers do.
    echo += complex_noise(rng, (samples, lines)) * _amplitude(settings.noise + np.minimum(compensation, 45))[:, None]
    return np.abs(echo) * _amplitude(errors)[:, None]


def _amplitude(decibels: Array) -> Array:
    return np.exp(decibels * np.float32(np.log(10) / 20))


def log_compress(amplitude: Array, settings: Settings) -> Array:
    """Amplitude -> brightness from 0 (black) to 1 (white), float32: linear in decibels over the dynamic range."""
    decibels = np.float32(20) * np.log10(np.maximum(amplitude, np.float32(1e-6)))
    return np.clip(settings.grey + (decibels + settings.gain) / settings.dynamic_range, 0, 1).astype(np.float32)
