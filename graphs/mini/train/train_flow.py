"""train_flow.py - second stage: transformer and text encoder together, rectified flow on the latents.

x_t = (1-t) x + t noise, the target is noise - x, t is logit-normal and shifted up because the published schedule for
klein spends nearly all its steps above 0.7. Square hidden matrices are updated with orthogonalised momentum (Muon),
everything else with AdamW; the learning rate is constant and falls linearly in the last part of each stage.
"""
import time

import numpy as np
import torch
import torch.nn.functional as F

import common
import data
import latent
from model import Flux2, TextEncoder, time_features

D, FULL = 256, 16      # width; side of the latent that the model is made for (half-size ones are spread over it)
TEXT = dict(hidden=128, layers=3, heads=4, kv=2, dim=64, wide=384, taps=(1, 2, 3))
DEPTH = dict(d=D, double=2, single=4)


class Both(torch.nn.Module):
    def __init__(self, vocab, pad):
        super().__init__()
        torch.manual_seed(4)
        self.text = TextEncoder(vocab, pad, **TEXT)
        self.flux = Flux2(TEXT["hidden"] * len(TEXT["taps"]), **DEPTH)

    def forward(self, x, t, ids, refs=()):
        return self.flux(x, t, self.text(ids), refs, FULL // x.shape[-1])


class Muon:
    """Momentum made orthogonal, for every weight that is made of DxD squares."""

    def __init__(self, params, beta=.95):
        self.params, self.beta = params, beta
        self.state = [torch.zeros_like(p) for p in params]

    @staticmethod
    def squares(m):
        """[nD,D] or [D,nD] -> [n,D,D]"""
        return m.view(-1, D, D) if m.shape[1] == D else m.view(D, -1, D).transpose(0, 1)

    @torch.no_grad()
    def step(self, lr, decay):
        torch._foreach_lerp_(self.state, [p.grad for p in self.params], 1 - self.beta)
        moves = torch._foreach_lerp([p.grad for p in self.params], self.state, self.beta)
        x = common.orthogonal(torch.cat([self.squares(m) for m in moves]))
        at = 0
        for p in self.params:
            view = self.squares(p.data)
            view.mul_(1 - lr * decay).add_(x[at:at + len(view)], alpha=-lr * .2 * D ** .5)
            at += len(view)
        for p in self.params:
            p.grad = None


def sample_times(count, shift, spread=1.2):
    t = torch.sigmoid(shift + spread * torch.randn(count))
    return torch.where(torch.rand(count) < .06, torch.rand(count) * .1 + .9, t)


def drawn(z):
    """Weight of each token [B,1,h,w], mean 1: outlines and fills count four times as much as empty background."""
    middle = z.flatten(2).median(2).values[:, :, None, None]
    w = torch.where((z - middle).norm(dim=1, keepdim=True) > .5, 4.0, 1.0)
    return w / w.mean()


class Trainer:
    def __init__(self, work, vocab, pad):
        self.model, self.work, self.step = Both(vocab, pad), work, 0
        self.average = common.Average(self.model, .995)
        square = [p for n, p in self.model.flux.named_parameters()
                  if p.dim() == 2 and "blocks" in n]
        chosen = {id(p) for p in square}
        self.muon = Muon(square)
        self.adam = torch.optim.AdamW([p for p in self.model.parameters() if id(p) not in chosen], lr=1e-3,
                                      betas=(.9, .99), weight_decay=0)

    def compile(self):
        self.model.flux.compile()
        for layer in self.model.text.model.layers:
            layer.forward = torch.compile(layer.forward, dynamic=False)

    def save(self, name="flow.pt"):
        common.save_checkpoint(self.work + "/" + name, {
            "model": self.model.state_dict(), "average": self.average.shadow, "muon": self.muon.state,
            "adam": self.adam.state_dict(), "step": self.step, "count": self.average.step})

    def load(self, name="flow.pt"):
        s = common.load_checkpoint(self.work + "/" + name)
        if not s:
            return False
        self.model.load_state_dict(s["model"])
        self.average.shadow, self.average.step, self.step = s["average"], s["count"], s["step"]
        for a, b in zip(self.muon.state, s["muon"]):
            a.copy_(b)
        self.adam.load_state_dict(s["adam"])
        return True

    def update(self, loss, lr):
        loss.backward()
        for g in self.adam.param_groups:
            g["lr"] = lr
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step(2 * lr, .02)
        self.adam.step()
        self.adam.zero_grad()
        if self.step % 4 == 0:
            self.average.update(self.model)
        self.step += 1


def flow_loss(model, z, ids, ref, pad, start, shift):
    n = len(z)
    empty = torch.full((ids.shape[1],), pad)
    empty[0], empty[1] = start
    ids = torch.where((torch.rand(n) < .1)[:, None], empty, ids)
    t, noise = sample_times(n, shift), torch.randn_like(z)
    x = z + t[:, None, None, None] * (noise - z)
    with common.autocast():
        v = model(x, t, ids, (ref,) if ref is not None else ())
    return (drawn(z) * (v - (noise - z)).square()).mean()


def train(work, stage, steps, batch, lr, fall, shift, mix=(), compiled=True):
    """stage: name of the data set; steps: total at the end of the stage; fall: steps over which the rate falls to a
    tenth at the end (0: it does not); shift: of the noise levels; mix: (data set, share, batch) triples that replace
    the main set now and then."""
    tok = data.tokenizer(work)
    torch.manual_seed(7)
    tr = Trainer(work, tok.size, tok.pad)
    tr.load()
    if tr.step >= steps:
        return
    if compiled:
        tr.compile()
    rng = np.random.default_rng(100 + tr.step)
    torch.manual_seed(100 + tr.step)
    sets = [(data.Set(work, stage), 1.0, batch)] + [(data.Set(work, n), s, b) for n, s, b in mix]
    start = (tok.added["<|im_start|>"], tok.added["<|im_end|>"])
    common.say("flow %s: %.2f M + %.2f M parameters, steps %d..%d" % (
        stage, sum(p.numel() for p in tr.model.flux.parameters()) / 1e6,
        sum(p.numel() for p in tr.model.text.parameters()) / 1e6, tr.step, steps))
    t0, sums = time.time(), []
    while tr.step < steps:
        which, n = sets[0][0], batch
        for s, share, b in sets[1:]:
            if rng.random() < share:
                which, n = s, b
        rate = lr * min(1, (tr.step + 1) / 100) * (min(1, .1 + .9 * (steps - tr.step) / fall) if fall else 1)
        loss = flow_loss(tr.model, *which.batch(rng, n), tok.pad, start, shift)
        tr.update(loss, rate)
        sums.append(loss.item())
        if tr.step % 25 == 0:
            common.say("flow %s step %d: loss %.4f, lr %.5f, %.2f s/step" % (
                stage, tr.step, sum(sums) / len(sums), rate, (time.time() - t0) / len(sums)))
            t0, sums = time.time(), []
        if tr.step % 100 == 0 or tr.step == steps:
            tr.save()


def lead_in(student, ids, refs, levels, which):
    """The student's own latent after the first `which` of its steps, from noise: the states that it will meet."""
    x = torch.randn(len(ids), 128, FULL, FULL)
    with torch.no_grad(), common.autocast():
        for a, b in zip(levels[:which], levels[1:]):
            x = x + (b - a) * student(x, a.expand(len(x)), ids, refs)
    return x


def targets(teacher, start, ids, refs, empty, a, b, cfg, parts):
    """Mean velocity from noise level a to b, where the teacher goes from `start` in `parts` steps, guided above half of
    the noise (below, guidance changes next to nothing)."""
    x = start
    with torch.no_grad(), common.autocast():
        alone = teacher.text(ids)
        both = torch.cat((alone, teacher.text(empty.expand_as(ids))))
        twice = tuple(torch.cat((r, r)) for r in refs)
        for k in range(parts):
            t = (a + (b - a) * k / parts).expand(len(x))
            if t[0] > .5:
                v = teacher.flux(torch.cat((x, x)), torch.cat((t, t)), both, twice, FULL // x.shape[-1])
                cond, free = v.chunk(2)
                v = free + cfg * (cond - free)
            else:
                v = teacher.flux(x, t, alone, refs, FULL // x.shape[-1])
            x = x + (b - a) / parts * v
    return (start - x) / (a - b)


def distil(work, steps, batch, lr, cfg=2.5, parts=(4, 4, 4, 6), share=(.15, .15, .2, .5), mix=.1, compiled=True):
    """Teach the four steps of the klein schedule, without guidance, to end where the guided averaged model does; half
    of the time from a noised picture, half from where its own steps so far have led."""
    from sample import sigmas
    tok = data.tokenizer(work)
    tr = Trainer(work, tok.size, tok.pad)
    teacher = Both(tok.size, tok.pad)
    resumed = tr.load("distilled.pt")
    source = common.load_checkpoint(work + "/flow.pt")
    teacher.load_state_dict(source["average"])
    teacher.requires_grad_(False)
    if not resumed:
        tr.load()
        tr.model.load_state_dict(source["average"])
        tr.average.shadow = {k: v.clone() for k, v in source["average"].items()}
        tr.average.step, tr.step = 100, 0
        tr.average.decay = .98
    if tr.step >= steps:
        return
    if compiled:
        tr.compile()
        teacher.flux.compile()
    rng = np.random.default_rng(500 + tr.step)
    torch.manual_seed(500 + tr.step)
    sets = data.Set(work, "large"), data.Set(work, "edits")
    empty = torch.full((ids_length(sets[0]),), tok.pad)
    empty[0], empty[1] = tok.added["<|im_start|>"], tok.added["<|im_end|>"]
    levels = sigmas(len(parts), FULL * 16, FULL * 16)
    t0, sums = time.time(), []
    while tr.step < steps:
        edit = rng.random() < mix
        z, ids, ref = sets[int(edit)].batch(rng, batch // 2 if edit else batch)
        refs = (ref,) if ref is not None else ()
        which = int(rng.choice(len(parts), p=share))
        a, b = levels[which], levels[which + 1]
        own = rng.random() < .5
        start = lead_in(tr.model, ids, refs, levels, which) if own else z + a * (torch.randn_like(z) - z)
        want = targets(teacher, start, ids, refs, empty, a, b, cfg, parts[which])
        with common.autocast():
            v = tr.model(start, a.expand(len(z)), ids, refs)
        loss = (drawn(start - a * want) * (v - want).square()).mean()
        tr.update(loss, lr * min(1, .05 + .95 * (steps - tr.step) / steps))
        sums.append(loss.item())
        if tr.step % 10 == 0:
            common.say("distil step %d: loss %.4f, %.2f s/step" % (tr.step, sum(sums) / len(sums),
                                                                  (time.time() - t0) / len(sums)))
            t0, sums = time.time(), []
        if tr.step % 40 == 0 or tr.step == steps:
            tr.save("distilled.pt")


def ids_length(store):
    return store.ids.shape[2]
