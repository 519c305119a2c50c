"""train_correct.py - last stage: the student's own pictures, set right by the renderer, are what it learns from.

The four-step student draws a training caption from noise. What must be in the picture is known from the caption; where
things stand and how large they are is read from what it drew: the scene's shapes are moved until the renderer's picture
lies as near to the student's as it can. That picture is the one which these four steps should have led to, so every
state on the way there, and every point of the straight line from the noise, gets the velocity that points at it
(rectified flow's "reflow", Liu et al. 2022, with ends that are right instead of merely the model's own).
"""
import time

import numpy as np
import torch

import common
import data
import latent
import scenes
from sample import euler, sigmas
from train_flow import FULL, Trainer, drawn

SMALL = 64                              # side of the pictures that are compared
SHARE = (.2, .2, .25, .35)              # of the four steps
FAMILIES = ((scenes._one, .3), (scenes._two, .3), (scenes._count, .25), (scenes._thing, .15))


# ---------------------------------------------------------------- the nearest right picture

def starts(scene):
    """Lists of places [(x, y, r)] from which the scene's shapes may be moved."""
    own = [p for _, p, _, _ in scene["steps"]]
    if scene["fact"]["kind"] != "count":
        return [own]
    return [[(x, y, r) for (x, y), (_, _, r) in zip(layout, own)] for layout in scenes.LAYOUTS[len(own)]]


def reach(scene):
    """How far a shape may go from its start: places keep their meaning."""
    return {"one": .06, "two": .06, "count": .04}[scene["fact"]["kind"]]


class Fit:
    """One shape on an even background against the part of a picture where it may lie."""

    def __init__(self, scene, step, place, image):
        self.kind, _, self.colour, self.style = step
        self.start, self.far = place, reach(scene)
        back = np.array(scene["back"][0], np.float32)
        wide = self.far + 1.3 * place[2]
        self.window = tuple(slice(max(0, int((c - wide) * SMALL)), max(1, int((c + wide) * SMALL) + 1))
                            for c in (place[1], place[0]))
        self.empty = np.broadcast_to(back, image.shape)
        self.image = image

    def error(self, place):
        mine = self.empty.copy()
        scenes._paint(mine, (self.kind, place, self.colour, self.style), SMALL)
        return float(np.square(mine[self.window] - self.image[self.window]).sum())

    def allowed(self, place):
        return (max(abs(place[0] - self.start[0]), abs(place[1] - self.start[1])) <= self.far and
                .88 <= place[2] / self.start[2] <= 1.14)

    def best(self):
        """(error, place) after a search with falling steps."""
        place, error = self.start, self.error(self.start)
        for pace in (.03, .015, .008, .004):
            for _ in range(3):
                better = False
                for axis, by in ((0, pace), (0, -pace), (1, pace), (1, -pace), (2, pace / 2), (2, -pace / 2)):
                    moved = tuple(v + by * (i == axis) for i, v in enumerate(place))
                    if self.allowed(moved) and self.error(moved) < error:
                        place, error, better = moved, self.error(moved), True
                if not better:
                    break
        return error, place


def nearest(scene, image):
    """The scene with its shapes moved to where the float picture [SMALL,SMALL,3] (0..255) has them."""
    best = None
    for places in starts(scene):
        found = [Fit(scene, step, place, image).best() for step, place in zip(scene["steps"], places)]
        error = sum(e for e, _ in found)
        if best is None or error < best[0]:
            best = error, [p for _, p in found]
    steps = [(kind, p, colour, style) for (kind, _, colour, style), p in zip(scene["steps"], best[1])]
    return dict(scene, steps=steps)


def shifted(step, dx, dy, k):
    """A drawing step moved, and scaled about the middle of the picture; grounds, which span it, stay."""
    kind, p, colour, style = step
    if kind == "box" and p[2] >= .8:
        return step

    def place(x, y):
        return .5 + (x - .5) * k + dx, .58 + (y - .58) * k + dy
    if kind == "poly":
        moved = [place(x, y) for x, y in p]
    elif kind == "line":
        moved = place(p[0], p[1]) + place(p[2], p[3]) + (p[4] * k,)
    else:
        moved = place(p[0], p[1]) + tuple(v * k for v in p[2:])
    return kind, moved, colour, style


def nearest_thing(scene, image):
    """The same for a house, a cat, ...: moved and scaled as a whole. None for skies, whose stars lie anywhere."""
    if any(kind == "star" for kind, _, _, _ in scene["steps"]):
        return None

    def made(v):
        return dict(scene, steps=[shifted(s, *v) for s in scene["steps"]])

    def error(v):
        return float(np.square(scenes.render(made(v), SMALL) - image).sum())
    best = (0.0, 0.0, 1.0)
    least = error(best)
    for pace in (.03, .015, .008):
        better = True
        while better:
            better = False
            for axis, by in ((0, pace), (0, -pace), (2, 2 * pace), (2, -2 * pace), (1, pace), (1, -pace)):
                v = tuple(a + by * (i == axis) for i, a in enumerate(best))
                if abs(v[0]) > .11 or abs(v[1]) > .04 or abs(v[2] - 1) > .2:
                    continue
                e = error(v)
                if e < least:
                    best, least, better = v, e, True
    return made(best)


# ---------------------------------------------------------------- pairs

def pick(rng):
    r = rng.random()
    for make, share in FAMILIES:
        if r < share:
            break
        r -= share
    return scenes.sample(rng, family=make)


class Pairs:
    """States x_0..x_3 of the student, tokens of the caption and the latent that they should lead to."""

    def __init__(self, most):
        self.most, self.states, self.ids, self.ends = most, [], [], []

    @torch.no_grad()
    def add(self, model, tok, space, rng, count, batch):
        """Draws and corrects `count` pictures; returns the share that the check of evaluate.py finds right."""
        import evaluate
        good, seen = 0, 0
        levels = sigmas(len(SHARE), FULL * 16, FULL * 16)
        for _ in range(count // batch):
            world = [pick(rng) for _ in range(batch)]
            ids = torch.tensor(np.stack([data._ids(tok, s["captions"])[0] for s in world]).astype(np.int64))
            states, x = [], torch.randn(batch, 128, FULL, FULL)

            def velocity(y, t):
                states.append(y.half())
                return model(y, t, ids)
            with common.autocast():
                x = euler(velocity, x, levels)
            images = ((space.decode_linear(x) + 1) * 127.5).clamp(0, 255)
            small = torch.nn.functional.avg_pool2d(images, FULL * 16 // SMALL).permute(0, 2, 3, 1).numpy()
            full = images.permute(0, 2, 3, 1).to(torch.uint8).numpy()
            ends = x.half()
            for i, scene in enumerate(world):
                thing = scene["fact"]["kind"] == "thing"
                right = (nearest_thing if thing else nearest)(scene, small[i])
                if right:               # otherwise its own end stays
                    ends[i] = space.encode(scenes.render(right, FULL * 16)[None])[0].half()
                if not thing:
                    good += all(evaluate.judge(scene["fact"], full[i]).values())
                    seen += 1
            self.states = (self.states + list(torch.stack(states, 1)))[-self.most:]
            self.ids = (self.ids + list(ids))[-self.most:]
            self.ends = (self.ends + list(ends))[-self.most:]
        return good / max(seen, 1)

    def batch(self, rng, count, levels):
        """(states [B,128,h,w], levels [B], ids [B,24], ends): half of the states are the student's, half lie on the
        straight line."""
        at = rng.integers(len(self.ends), size=count)
        which = rng.choice(len(SHARE), p=SHARE, size=count)
        own = torch.from_numpy(rng.random(count) < .5)[:, None, None, None]
        end = torch.stack([self.ends[i] for i in at]).float()
        noise = torch.stack([self.states[i][0] for i in at]).float()
        mine = torch.stack([self.states[i][k] for i, k in zip(at, which)]).float()
        t = levels[torch.from_numpy(which)]
        line = end + t[:, None, None, None] * (noise - end)
        return torch.where(own, mine, line), t, torch.stack([self.ids[i] for i in at]), end


# ---------------------------------------------------------------- training

def train(work, source, steps, batch, lr, every=240, first=1920, later=960, most=7680, edit_share=.25):
    """`first` pictures before the first step, `later` more each `every` steps; `source`: checkpoint to start from. The
    result of an edit follows from the picture before and the words, so these learn from the renderer's pairs alone."""
    tok, space = data.tokenizer(work), latent.basis(work)
    torch.manual_seed(7)
    tr = Trainer(work, tok.size, tok.pad)
    if not tr.load("corrected.pt"):
        state = common.load_checkpoint(work + "/" + source)["average"]
        tr.model.load_state_dict(state)
        tr.average.shadow = {k: v.clone() for k, v in state.items()}
    tr.average.decay, tr.average.step = .98, max(100, tr.average.step)
    rng = np.random.default_rng(900 + tr.step)
    torch.manual_seed(900 + tr.step)
    edits, pairs, levels = data.Set(work, "edits"), Pairs(most), sigmas(len(SHARE), FULL * 16, FULL * 16)
    t0, sums, begun = time.time(), [], tr.step
    while tr.step < steps:
        if (tr.step - begun) % every == 0:
            right = pairs.add(tr.model, tok, space, rng, first if tr.step == begun else later, batch)
            common.say("correct step %d: %.1f %% of the new pictures right, %.0f s" % (tr.step, 100 * right, time.time() - t0))
            t0, sums = time.time(), []
        refs = ()
        if rng.random() < edit_share:
            end, ids, ref = edits.batch(rng, batch // 2)
            t, refs = levels[torch.from_numpy(rng.integers(len(SHARE), size=len(end)))], (ref,)
            x = end + t[:, None, None, None] * (torch.randn_like(end) - end)
        else:
            x, t, ids, end = pairs.batch(rng, batch, levels)
        with common.autocast():
            v = tr.model(x, t, ids, refs)
        loss = (drawn(end) * (v - (x - end) / t[:, None, None, None]).square()).mean()
        tr.update(loss, lr * min(1, (tr.step - begun + 1) / 30) * max(.05, (steps - tr.step) / steps))
        sums.append(loss.item())
        if tr.step % 20 == 0:
            common.say("correct step %d: loss %.4f, %.2f s/step" % (tr.step, sum(sums) / len(sums),
                                                                   (time.time() - t0) / len(sums)))
            t0, sums = time.time(), []
        if tr.step % 40 == 0 or tr.step == steps:
            tr.save("corrected.pt")
