"""latent.py - the latent space of the small model: half-whitened principal components of 8x8 pixel patches.

The encoder of the autoencoder is this linear map, written into the convolutions of the FLUX.2 layout (see
export_vae.py), so a training picture becomes a latent with one matrix product. Component i has standard deviation
GAIN * sqrt(s_i), s_i being that of the raw component: the scaling that carries most picture for a given noise and energy,
and one that leaves the weak directions weak, which a small flow model needs.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

import common
import scenes

Z, GAIN = 32, .62


def patches(images):
    """uint8 [B,H,W,3] -> float [B,H/8,W/8,192], element (dy*8+dx)*3+channel, values -1..1."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1
    b, h, w, _ = x.shape
    return x.reshape(b, h // 8, 8, w // 8, 8, 3).permute(0, 1, 3, 2, 4, 5).reshape(b, h // 8, w // 8, 192)


class Basis:
    """mean [192], rows [32,192] (orthonormal), gain [32]."""

    def __init__(self, mean, rows, gain):
        self.mean, self.rows, self.gain = mean, rows, gain

    def encode(self, images):
        """uint8 [B,H,W,3] -> [B,128,H/16,W/16]."""
        z = (patches(images) - self.mean) @ (self.rows * self.gain[:, None]).T
        return F.pixel_unshuffle(z.permute(0, 3, 1, 2), 2)

    def decode_linear(self, z):
        """The best linear reconstruction: [B,128,h,w] -> [B,3,16h,16w] in -1..1. Used for previews while training."""
        z = F.pixel_shuffle(z, 2).permute(0, 2, 3, 1)
        x = (z / self.gain) @ self.rows + self.mean
        b, h, w, _ = x.shape
        return x.reshape(b, h, w, 8, 8, 3).permute(0, 5, 1, 3, 2, 4).reshape(b, 3, h * 8, w * 8)


def basis(work):
    path = work + "/basis.pt"
    if not os.path.exists(path):
        rng = np.random.default_rng(3)
        parts = [patches(np.stack([scenes.render(scenes.sample(rng), size) for _ in range(count)])).reshape(-1, 192)
                 for size, count in ((256, 300), (128, 800))]
        x = torch.cat(parts)
        value, vector = torch.linalg.eigh(torch.cov((x - x.mean(0)).T).double())
        std = value.flip(0)[:Z].sqrt().float()
        rows = vector.flip(1)[:, :Z].T.float()
        rows = rows * rows.sum(1, keepdim=True).sign()
        common.save_checkpoint(path, {"mean": x.mean(0), "rows": rows.contiguous(), "gain": GAIN / std.sqrt()})
    d = common.load_checkpoint(path)
    return Basis(d["mean"], d["rows"], d["gain"])
