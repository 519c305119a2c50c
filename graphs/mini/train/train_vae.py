"""train_vae.py - the decoder of the autoencoder, against the fixed linear encoder of latent.py.

The decoder reads latents with noise of changing strength, so it forgives the small errors of sampled latents.
"""
import math
import time

import numpy as np
import torch

import common
import latent
import scenes
from vae import VAE, start_decoder, write_encoder

RATE, CONV_RATE = 7e-4, 2e-3


class ConvMuon:
    """Momentum made orthogonal, for 3x3 convolutions seen as [out, in*9] matrices."""

    def __init__(self, params, beta=.95):
        self.params, self.beta = params, beta
        self.state = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, lr):
        grads = [p.grad for p in self.params]
        torch._foreach_lerp_(self.state, grads, 1 - self.beta)
        moves = [m.flatten(1) for m in torch._foreach_lerp(grads, self.state, self.beta)]
        for shape in {m.shape for m in moves}:
            which = [i for i, m in enumerate(moves) if m.shape == shape]
            stack = common.orthogonal(torch.stack([moves[i] for i in which]))
            for i, x in zip(which, stack):
                self.params[i].data.add_(x.view_as(self.params[i]), alpha=-lr * .2 * shape[1] ** .5)
        for p in self.params:
            p.grad = None


def pictures(seed, count, size):
    rng = np.random.default_rng(seed)
    return np.stack([scenes.render(scenes.sample(rng), size) for _ in range(count)])


def crops(rng, store, count, side):
    out = np.empty((count, side, side, 3), np.uint8)
    for i in range(count):
        img = store[rng.integers(len(store))]
        y, x = (int(rng.integers(0, (img.shape[0] - side) // 16 + 1)) * 16 for _ in range(2))
        out[i] = img[y:y + side, x:x + side]
    return out


def new_vae(work):
    torch.manual_seed(1)
    model = VAE()
    space = latent.basis(work)
    start_decoder(model.decoder, space)
    write_encoder(model.encoder, space)
    model.bn.running_var.fill_(1 - 1e-4)
    return model


def train(work, steps, side, count, fall):
    """`steps` in total, crops of `side` pixels; the learning rate falls over the last `fall` steps."""
    rng = np.random.default_rng(2)
    model, space = new_vae(work), latent.basis(work)
    convs = [p for n, p in model.decoder.named_parameters() if p.dim() == 4 and p.shape[2] == 3 and p.shape[0] > 3]
    chosen = {id(p) for p in convs}
    muon = ConvMuon(convs)
    opt = torch.optim.AdamW([p for p in model.decoder.parameters() if id(p) not in chosen], lr=RATE, betas=(.9, .98), weight_decay=1e-4)
    average = common.Average(model.decoder, .99)
    start, path = 0, work + "/vae.pt"
    state = common.load_checkpoint(path)
    if state:
        model.decoder.load_state_dict(state["decoder"])
        opt.load_state_dict(state["opt"])
        for a, b in zip(muon.state, state["muon"]):
            a.copy_(b)
        average.shadow, average.step = state["average"], state["step"]
        start = state["step"]
        rng = np.random.default_rng(2 + start)
    if start >= steps:
        return
    stores = pictures(11, 4000, 128), pictures(12, 1500, 256)
    common.say("decoder: %.2f M parameters, steps %d..%d" % (
        sum(p.numel() for p in model.decoder.parameters()) / 1e6, start, steps))
    t0, sums = time.time(), []
    for step in range(start, steps):
        pace = min(1, (step + 1) / 50) * min(1, .03 + .97 * (steps - step) / fall)
        for g in opt.param_groups:
            g["lr"] = RATE * pace
        images = crops(rng, stores[1 if side > 128 or step % 3 else 0], count, side)
        x, z = common.to_float(images), space.encode(images)
        z = z + .25 * torch.rand(count, 1, 1, 1) ** 2 * torch.randn_like(z)
        with common.autocast():
            y = model.decode(z)
        error = (y - x).square().mean()
        (error + .05 * (y - x).abs().mean()).backward()
        torch.nn.utils.clip_grad_norm_(opt.param_groups[0]["params"], .3)
        muon.step(CONV_RATE * pace)
        opt.step()
        opt.zero_grad()
        average.update(model.decoder)
        sums.append(error.item())
        if (step + 1) % 25 == 0:
            common.say("decoder step %d: %.1f dB, %.2f s/step" % (
                step + 1, -10 * math.log10(sum(sums) / len(sums) / 4), (time.time() - t0) / len(sums)))
            t0, sums = time.time(), []
        if (step + 1) % 100 == 0 or step + 1 == steps:
            common.save_checkpoint(path, {"decoder": model.decoder.state_dict(), "opt": opt.state_dict(), "muon": muon.state,
                                          "average": average.shadow, "step": step + 1})


def load(work):
    """The autoencoder with the averaged decoder weights."""
    model = new_vae(work)
    state = common.load_checkpoint(work + "/vae.pt")
    if state:
        model.decoder.load_state_dict(state["average"])
    return model.eval()
