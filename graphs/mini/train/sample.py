"""sample.py - draws with the small model in plain PyTorch, following the published rules: Flux2Scheduler, euler, cfg."""
import math

import torch

import common


def sigmas(steps, width, height):
    """Flux2Scheduler: steps+1 noise levels."""
    n = round(width * height / 256)
    if n > 4300:
        mu = .00016927 * n + .45666666
    else:
        m200, m10 = .00016927 * n + .45666666, 8.73809524e-05 * n + 1.89833333
        a = (m200 - m10) / 190
        mu = a * steps + m200 - 200 * a
    t = torch.linspace(1, 0, steps + 1)
    return torch.exp(torch.tensor(mu)) / (torch.exp(torch.tensor(mu)) + (1 / t - 1))


def noise(seeds, h, w):
    """ComfyUI's noise, one picture per seed."""
    out = []
    for s in seeds:
        g = torch.Generator().manual_seed(s)
        out.append(torch.randn([1, 128, h, w], generator=g))
    return torch.cat(out)


@torch.no_grad()
def euler(velocity, x, levels):
    """velocity(x, sigma [B]) along the noise levels; returns the final latent."""
    for a, b in zip(levels[:-1], levels[1:]):
        x = x + (b - a) * velocity(x, a.expand(len(x)))
    return x


def guided(model, context, empty, cfg, refs=(), stretch=1):
    """Velocity with classifier-free guidance (cfg 1: one pass)."""
    def velocity(x, t):
        v = model(x, t, context, refs, stretch)
        if cfg != 1:
            u = model(x, t, empty.expand_as(context), refs, stretch)
            v = u + cfg * (v - u)
        return v
    return velocity


def context(model, tok, prompts):
    ids = [tok.encode(p) for p in prompts]
    n = max(len(i) for i in ids)
    return model(torch.tensor([i + [tok.pad] * (n - len(i)) for i in ids]))


@torch.no_grad()
def draw(text, flux, decode, tok, prompts, seeds, size=256, steps=4, cfg=1.0, bf16=True, schedule=None, stretch=1,
         refs=()):
    """Pictures as uint8 [B,H,W,3] (or latents when decode is None); refs: latents of reference pictures."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16 and common.BF16):
        c, e = context(text, tok, prompts), context(text, tok, [""])
        levels = sigmas(steps, schedule or size, schedule or size)
        x = euler(guided(flux, c, e, cfg, refs, stretch), noise(seeds, size // 16, size // 16), levels)
        if decode is None:
            return x
        return common.to_bytes(decode(x))
