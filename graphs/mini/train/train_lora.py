"""train_lora.py - a style on top of the finished model: white lines on blue paper, whatever the caption says.

Low-rank factors of every matrix of the blocks, trained with the flow loss on blueprint pictures of the same scenes at the
noise levels of the four-step schedule, where the finished model is used.
"""
import time

import numpy as np
import torch

import common
import data
import latent
import scenes
from sample import sigmas
from train_flow import FULL, Both

RANK, COUNT = 4, 3000


class Low(torch.nn.Module):
    """W x + B A x; W stays."""

    def __init__(self, plain):
        super().__init__()
        self.plain = plain
        self.a = torch.nn.Parameter(torch.randn(RANK, plain.in_features) * plain.in_features ** -.5)
        self.b = torch.nn.Parameter(torch.zeros(plain.out_features, RANK))

    def forward(self, x):
        return self.plain(x) + torch.nn.functional.linear(torch.nn.functional.linear(x, self.a), self.b)


def wrap(flux):
    """Replaces the block matrices; {name: Low}."""
    out = {}
    for name, module in list(flux.named_modules()):
        if isinstance(module, torch.nn.Linear) and "blocks" in name:
            parent, leaf = flux.get_submodule(name.rsplit(".", 1)[0]), name.rsplit(".", 1)[1]
            out[name] = Low(module)
            if isinstance(parent, torch.nn.ModuleDict):
                parent[leaf] = out[name]
            else:
                setattr(parent, leaf, out[name])
    return out


def pictures(work):
    """(latents, ids) of blueprint scenes."""
    rng, tok, space = np.random.default_rng(31), data.tokenizer(work), latent.basis(work)
    z, ids = [], []
    for _ in range(COUNT // 100):
        batch = [scenes.sample(rng) for _ in range(100)]
        z.append(space.encode(np.stack([scenes.render(scenes.blueprint(s), FULL * 16) for s in batch])).half())
        ids.extend(data._ids(tok, s["captions"]) for s in batch)
    return torch.cat(z), np.stack(ids)


def train(work, steps, batch, lr, checkpoint):
    tok = data.tokenizer(work)
    model = Both(tok.size, tok.pad)
    model.load_state_dict(common.load_checkpoint(work + "/" + checkpoint)["average"])
    model.requires_grad_(False)
    low = wrap(model.flux)
    params = [p for m in low.values() for p in (m.a, m.b)]
    opt = torch.optim.AdamW(params, lr=lr, betas=(.9, .99), weight_decay=0)
    levels, rng = sigmas(4, FULL * 16, FULL * 16)[:-1], np.random.default_rng(32)
    torch.manual_seed(33)
    z_all, ids_all = pictures(work)
    common.say("lora: %d values" % sum(p.numel() for p in params))
    t0, sums = time.time(), []
    for step in range(steps):
        pick = rng.integers(len(z_all), size=batch)
        z = z_all[pick].float()
        ids = torch.from_numpy(ids_all[pick, rng.integers(data.WORDINGS, size=batch)].astype(np.int64))
        t = levels[torch.randint(len(levels), (batch,))]
        noise = torch.randn_like(z)
        x = z + t[:, None, None, None] * (noise - z)
        with common.autocast():
            v = model(x, t, ids)
        loss = (v - (noise - z)).square().mean()
        opt.zero_grad()
        loss.backward()
        for g in opt.param_groups:
            g["lr"] = lr * min(1, (step + 1) / 20) * min(1, .05 + 2 * (steps - step) / steps)
        opt.step()
        sums.append(loss.item())
        if (step + 1) % 10 == 0:
            common.say("lora step %d: loss %.4f, %.2f s/step" % (step + 1, sum(sums) / len(sums),
                                                                (time.time() - t0) / len(sums)))
            t0, sums = time.time(), []
    common.save_checkpoint(work + "/lora.pt", {n: (m.a.data, m.b.data) for n, m in low.items()})


def write(work, path):
    """PEFT's names on BFL's model, bf16."""
    tensors = {}
    for name, (a, b) in common.load_checkpoint(work + "/lora.pt").items():
        tensors["diffusion_model.%s.lora_A.weight" % name] = a.to(torch.bfloat16)
        tensors["diffusion_model.%s.lora_B.weight" % name] = b.to(torch.bfloat16)
    common.write_safetensors(path, tensors, {"format": "pt"})
