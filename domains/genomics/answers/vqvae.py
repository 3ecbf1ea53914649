"""A VQ-VAE: small grey images to a grid of codebook entries and back.

van den Oord, Vinyals, Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017, with the codebook learned
by exponential moving averages (its appendix A.1). `PUBLISHED` has the sizes of Omni-DNA's Needle-in-DNA images.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.genomics.answers.image import ImageAnswer
from polyhead.system.files import replacing


@dataclass(frozen=True)
class VqVaeConfig:
    """The shape and the training of a VQ-VAE.

    Attributes:
        size: side of the square images, in pixels.
        halvings: strided convolutions; the grid's side is size / 2**halvings.
        codes: entries of the codebook.
        embedding: width of an entry.
        hidden, residual: channels of the convolutions, and inside the residual blocks.
        blocks: residual blocks on each side.
        commitment: beta of the commitment loss.
        decay: of the moving averages of the codebook.
        revive: an entry whose moving count falls below this share of its fair part is drawn anew from the batch, so
            that none lies idle; 0 leaves the entries alone, as published.
        learning_rate, epochs, batch: of Adam.
    """

    size: int = 8
    halvings: int = 1
    codes: int = 16
    embedding: int = 16
    hidden: int = 32
    residual: int = 16
    blocks: int = 1
    commitment: float = 0.25
    decay: float = 0.99
    revive: float = 0.05
    learning_rate: float = 2e-3
    epochs: int = 40
    batch: int = 64

    def __post_init__(self) -> None:
        if self.halvings < 1 or self.size % 2**self.halvings:
            raise ValueError(f"a side of {self.size} pixels cannot be halved {self.halvings} times")

    @property
    def grid(self) -> tuple[int, int]:
        side = self.size // 2**self.halvings
        return side, side


DIGITS = VqVaeConfig()
"""8 x 8 digits as 4 x 4 of 16 entries."""

PUBLISHED = VqVaeConfig(
    size=28,
    halvings=2,
    codes=6,
    embedding=64,
    hidden=128,
    residual=32,
    blocks=2,
    revive=0.0,
    learning_rate=5e-4,
    epochs=100,
)
"""28 x 28 digits as 7 x 7 of 6 entries."""


class _Residual(nn.Module):
    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class Codebook(nn.Module):
    """Entries that follow the moving mean of the vectors they stand for.

    Buffers: `entries` (K, D), `counts` (K,), `sums` (K, D), all float32.
    """

    entries: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, width: int, decay: float, revive: float):
        super().__init__()
        self.decay, self.revive = decay, revive
        self.register_buffer("entries", torch.randn(codes, width))
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))

    def nearest(self, vectors: Tensor) -> Tensor:
        """(n, D) to the indices (n,) int64 of the entries at the least Euclidean distance."""
        return torch.cdist(vectors, self.entries).argmin(-1)

    @torch.no_grad()
    def follow(self, vectors: Tensor, chosen: Tensor) -> None:
        """One step of the moving averages: N_k <- decay N_k + (1 - decay) n_k, m_k likewise, e_k = m_k / N_k."""
        hits = functional.one_hot(chosen, len(self.entries)).to(vectors.dtype)
        counts, sums = hits.sum(0), hits.T @ vectors
        # The averages start at the first batch's values, not at zero.
        keep = self.decay if bool(self.counts.any()) else 0.0
        self.counts.mul_(keep).add_(counts, alpha=1 - keep)
        self.sums.mul_(keep).add_(sums, alpha=1 - keep)
        idle = self.counts < max(self.revive * self.counts.sum() / len(self.counts), 1e-5)
        if self.revive > 0 and bool(idle.any()):
            drawn = vectors[torch.randint(len(vectors), (int(idle.sum()),))]
            fair = self.counts.sum() / len(self.counts)
            self.counts[idle], self.sums[idle] = fair, drawn * fair
            idle = torch.zeros_like(idle)
        self.entries[~idle] = self.sums[~idle] / self.counts[~idle, None]


class VqVae(nn.Module):
    """Encoder, codebook and decoder for images (N, 1, size, size) float32 in [0, 1]."""

    def __init__(self, config: VqVaeConfig):
        super().__init__()
        self.config = config
        hidden, stages = config.hidden, config.halvings
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for stage in range(stages):
            down += [nn.Conv2d(hidden if stage else 1, hidden, 4, stride=2, padding=1), nn.ReLU()]
            last = stage == stages - 1
            up += [nn.ConvTranspose2d(hidden, 1 if last else hidden, 4, stride=2, padding=1)]
            up += [] if last else [nn.ReLU()]
        blocks = [[_Residual(hidden, config.residual) for _ in range(config.blocks)] for _ in range(2)]
        self.encoder = nn.Sequential(
            *down,
            nn.Conv2d(hidden, hidden, 3, padding=1),
            *blocks[0],
            nn.ReLU(),
            nn.Conv2d(hidden, config.embedding, 1),
        )
        self.decoder = nn.Sequential(nn.Conv2d(config.embedding, hidden, 3, padding=1), *blocks[1], nn.ReLU(), *up)
        self.codebook = Codebook(config.codes, config.embedding, config.decay, config.revive)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions, the commitment loss ||z - sg(e)||^2 as a mean, and the codes (N, rows, columns)."""
        encoded = self.encoder(images).permute(0, 2, 3, 1)
        vectors = encoded.reshape(-1, encoded.shape[-1])
        chosen = self.codebook.nearest(vectors.detach())
        quantised = self.codebook.entries[chosen]
        if self.training:
            self.codebook.follow(vectors.detach(), chosen)
        commitment = functional.mse_loss(vectors, quantised)
        # Straight through: the decoder reads the entry, the encoder gets the decoder's gradient.
        passed = (vectors + (quantised - vectors).detach()).reshape(encoded.shape).permute(0, 3, 1, 2)
        return self.decoder(passed), commitment, chosen.reshape(encoded.shape[:3])

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Images (N, size, size) in [0, 1] to codes (N, rows, columns) int64."""
        size = self.config.size
        if images.ndim != 3 or images.shape[1:] != (size, size):
            raise ValueError(f"images must be (N, {size}, {size}), got {images.shape}")
        pixels = torch.as_tensor(images, dtype=torch.float32)[:, None]
        encoded = self.encoder(pixels).permute(0, 2, 3, 1)
        chosen = self.codebook.nearest(encoded.reshape(-1, encoded.shape[-1]))
        return chosen.reshape(encoded.shape[:3]).numpy()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, rows, columns) to images (N, size, size) float32, clipped to [0, 1]."""
        if codes.ndim != 3 or codes.shape[1:] != self.config.grid:
            raise ValueError(f"codes must be (N, {self.config.grid[0]}, {self.config.grid[1]}), got {codes.shape}")
        if codes.size and not (codes.min() >= 0 and codes.max() < self.config.codes):
            raise ValueError(f"codes must be from 0 to {self.config.codes - 1}")
        entries = self.codebook.entries[torch.as_tensor(codes, dtype=torch.int64)]
        return self.decoder(entries.permute(0, 3, 1, 2))[:, 0].clamp(0, 1).numpy()

    def answer(self, codec: str = "") -> ImageAnswer:
        """The answer whose codes these are."""
        return ImageAnswer(self.config.codes, self.config.grid, codec)


def fit_vqvae(
    images: np.ndarray,
    config: VqVaeConfig = DIGITS,
    *,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> VqVae:
    """Learns a VQ-VAE: squared error plus beta times the commitment loss, Adam; equal seeds give equal weights.

    Args:
        images: (N, size, size) in [0, 1].
        config: its shape and training.
        seed: of weights, order and revived entries; the global random state is left as it was.
        progress: called after each epoch with its number from 1 and the mean squared error of its reconstructions.
    """
    if images.ndim != 3 or images.shape[1:] != (config.size, config.size) or not len(images):
        raise ValueError(f"images must be (N, {config.size}, {config.size}) with N >= 1, got {images.shape}")
    pixels = torch.as_tensor(images, dtype=torch.float32)[:, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VqVae(config)
        optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        for epoch in range(1, config.epochs + 1):
            total = 0.0
            for chosen in torch.randperm(len(pixels)).split(config.batch):
                batch = pixels[chosen]
                rebuilt, commitment, _ = model(batch)
                error = functional.mse_loss(rebuilt, batch)
                optimiser.zero_grad()
                (error + config.commitment * commitment).backward()
                optimiser.step()
                total += float(error.detach()) * len(batch)
            if progress:
                progress(epoch, total / len(pixels))
    return model.eval()


def save_vqvae(model: VqVae, folder: Path, name: str) -> None:
    """Writes ``NAME.safetensors`` and ``NAME.json`` into an existing folder."""
    from safetensors.torch import save_file

    with replacing(Path(folder) / f"{name}.safetensors") as temporary:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, temporary)
    with replacing(Path(folder) / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(asdict(model.config), indent=1))


def load_vqvae(folder: Path, name: str) -> VqVae:
    """Reads what `save_vqvae` wrote; a `ValueError` says which file is absent or does not fit."""
    from safetensors.torch import load_file

    config, weights = (Path(folder) / f"{name}.{ending}" for ending in ("json", "safetensors"))
    for path in (config, weights):
        if not path.is_file():
            raise ValueError(f"{folder}: no {path.name}, which image answers need to be drawn")
    try:
        model = VqVae(VqVaeConfig(**json.loads(config.read_text())))
        model.load_state_dict(load_file(weights))
    except (json.JSONDecodeError, TypeError, RuntimeError) as error:
        raise ValueError(f"{weights}: not the weights of the VQ-VAE in {config.name}") from error
    return model.eval()
