"""data.py - training sets on disk: latents as float16 and four wordings of each caption as token ids."""
import os

import numpy as np
import torch

import common
import latent
import scenes
import tokens

WORDINGS = 4


def tokenizer(work):
    path = work + "/tokenizer.json"
    if not os.path.exists(path):
        rng = np.random.default_rng(5)
        texts = [c for _ in range(20000) for c in scenes.sample(rng)["captions"]]
        texts += [c for _ in range(4000) for c in scenes.sample_edit(rng)[1]["captions"]]
        tokens.Tokenizer(tokens.learn(texts, 500)).save(path)
    return tokens.load(path)


def _ids(tok, captions):
    out = np.full((WORDINGS, tokens.LENGTH), tok.pad, np.uint16)
    for i, text in enumerate(captions):
        ids = tok.encode(text)
        if len(ids) > tokens.LENGTH:
            ids = tok.encode(captions[0])[:tokens.LENGTH]
        out[i] = ids
    return out


def build(work, name, seed, count, size, edits=False):
    """Files NAME.z (latents), NAME.ids and, for edit pairs, NAME.ref (latents of the picture before)."""
    base = work + "/" + name
    if os.path.exists(base + ".ids.npy"):
        return
    rng, tok, space = np.random.default_rng(seed), tokenizer(work), latent.basis(work)
    side = size // 16
    z = np.lib.format.open_memmap(base + ".z.npy", "w+", np.float16, (count, 128, side, side))
    ref = np.lib.format.open_memmap(base + ".ref.npy", "w+", np.float16, (count, 128, side, side)) if edits else None
    ids = np.empty((count, WORDINGS, tokens.LENGTH), np.uint16)
    for at in range(0, count, 500):
        n = min(500, count - at)
        pairs = [scenes.sample_edit(rng) if edits else (None, scenes.sample(rng)) for _ in range(n)]
        z[at:at + n] = space.encode(np.stack([scenes.render(b, size) for _, b in pairs])).numpy()
        if edits:
            ref[at:at + n] = space.encode(np.stack([scenes.render(a, size) for a, _ in pairs])).numpy()
        for i, (_, b) in enumerate(pairs):
            ids[at + i] = _ids(tok, b["captions"])
        if (at // 500) % 20 == 0:
            common.say("%s: %d of %d" % (name, at + n, count))
    z.flush()
    np.save(base + ".ids.npy", ids)


class Set:
    def __init__(self, work, name):
        base = work + "/" + name
        self.z, self.ids = np.load(base + ".z.npy", mmap_mode="r"), np.load(base + ".ids.npy")
        self.ref = np.load(base + ".ref.npy", mmap_mode="r") if os.path.exists(base + ".ref.npy") else None

    def batch(self, rng, count):
        """(latents [B,128,h,w], ids [B,24], reference latents or None)."""
        pick = np.sort(rng.integers(len(self.z), size=count))
        z = torch.from_numpy(self.z[pick].astype(np.float32))
        ids = torch.from_numpy(self.ids[pick, rng.integers(WORDINGS, size=count)].astype(np.int64))
        ref = torch.from_numpy(self.ref[pick].astype(np.float32)) if self.ref is not None else None
        return z, ids, ref
