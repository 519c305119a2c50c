"""evaluate.py - measures the small model: are colour, shape, relation and count what the caption says?

`python graphs/mini/train/evaluate.py --models graphs/mini/models` draws 300 held-out captions (100 of one object, 100
relations, 100 counts) with the exported files and looks at the pixels; `--truth` looks at the renderer's own pictures
instead, which tells what the looking itself gets wrong. Also prints the PSNR of the autoencoder.
"""
import argparse
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np  # noqa: E402
import torch  # noqa: E402

import common  # noqa: E402
import scenes  # noqa: E402


def variants():
    """Every palette colour with the lights and shadows that soft shading gives it."""
    names, rows = [], []
    for name, colour in scenes.COLOURS.items():
        c = np.array(colour, float)
        for light in (-.25, -.12, 0, .15, .3, .45):
            names.append(name)
            rows.append(c + (255 - c) * light if light > 0 else c * (1 + 1.1 * light))
    return names, np.array(rows)


NAMES, ROWS = variants()


def components(mask):
    """Connected parts (4-neighbours) of a bool mask, largest first, as bool masks."""
    label = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        grown = label.copy()
        for axis in (0, 1):
            for step in (1, -1):
                moved = np.roll(label, step, axis)
                edge = [slice(None)] * 2
                edge[axis] = 0 if step == 1 else -1
                moved[tuple(edge)] = 0
                grown = np.maximum(grown, moved)
        grown[~mask] = 0
        # jump to the label of the pixel that the label names: halves the number of rounds
        flat = np.concatenate(([0], grown.reshape(-1)))
        grown = flat[grown]
        if (grown == label).all():
            break
        label = grown
    values, counts = np.unique(label[label > 0], return_counts=True)
    return [label == v for v in values[np.argsort(-counts)]]


def objects(image):
    """Things in the picture: dicts with colour, shape, centre (x, y), area; largest first."""
    image = image[::2, ::2].astype(float)
    border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    back = np.median(border, 0)
    mask = np.abs(image - back).sum(-1) > 75
    found = []
    for part in components(mask):
        area = part.sum() / part.size
        if area < .002:
            break
        ys, xs = np.nonzero(part)
        found.append({"colour": colour_of(image[part], back), "shape": shape_of(part), "area": area,
                      "centre": (xs.mean() / part.shape[1], ys.mean() / part.shape[0])})
    return found


def colour_of(pixels, back):
    d = np.abs(pixels[:, None] - ROWS[None]).sum(-1)
    votes = {}
    for i in d.argmin(1):
        votes[NAMES[i]] = votes.get(NAMES[i], 0) + 1
    ink = votes.get("black", 0)
    best = max(votes, key=votes.get)
    if best == "black" and ink < .6 * len(pixels) and len(votes) > 1:   # an outline, not the fill
        best = max((v for v in votes if v != "black"), key=votes.get)
    return best


def boxed(part, side=48):
    ys, xs = np.nonzero(part)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    yi = (y0 + (np.arange(side) + .5) * (y1 - y0) / side).astype(int)
    xi = (x0 + (np.arange(side) + .5) * (x1 - x0) / side).astype(int)
    return part[yi][:, xi]


def templates():
    out = {}
    for shape in scenes.SHAPES:
        scene = {"back": ((255, 255, 255),) * 2, "steps": [(shape, (.5, .5, .3), (0, 0, 0), "flat")]}
        out[shape] = boxed(scenes.render(scene, 128)[..., 0] < 128)
    return out


TEMPLATES = templates()


def shape_of(part):
    box = boxed(part)
    ys, xs = np.nonzero(part)
    aspect = (ys.max() - ys.min() + 1) / (xs.max() - xs.min() + 1)

    def score(name):
        t = TEMPLATES[name]
        want = {"diamond": 1.41}.get(name, 1.0)
        return (t & box).sum() / (t | box).sum() - .15 * abs(np.log(aspect / want))
    return max(TEMPLATES, key=score)


def judge(fact, image):
    """{aspect: bool} for what the caption of this fact promises."""
    seen = objects(image)
    if not seen:
        return {k: False for k in {"one": ("colour", "shape"), "two": ("colour", "shape", "relation"),
                                   "count": ("colour", "shape", "count")}[fact["kind"]]}
    if fact["kind"] == "one":
        return {"colour": seen[0]["colour"] == fact["colour"], "shape": seen[0]["shape"] == fact["shape"]}
    if fact["kind"] == "count":
        big = [o for o in seen if o["area"] > .3 * seen[0]["area"]]
        return {"colour": all(o["colour"] == fact["colour"] for o in big),
                "shape": sum(o["shape"] == fact["shape"] for o in big) * 2 > len(big),
                "count": len(big) == fact["count"]}
    first = [o for o in seen[:3] if o["colour"] == fact["colour"]]
    second = [o for o in seen[:3] if o["colour"] == fact["colour2"]]
    out = {"colour": bool(first), "shape": bool(first) and first[0]["shape"] == fact["shape"], "relation": False}
    if first and second:
        dx = first[0]["centre"][0] - second[0]["centre"][0]
        dy = first[0]["centre"][1] - second[0]["centre"][1]
        side = ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else ("above" if dy < 0 else "below")
        out["relation"] = side == fact["relation"]
    return out


def edit_pairs(count, seed=78):
    """Edits of scenes of combinations that training never saw, by turns of one thing and of two."""
    rng = np.random.default_rng(seed)
    return [scenes.sample_edit(rng, True, scenes.FAMILY[("one", "two")[i % 2]]) for i in range(count)]


def judge_edit(after, image):
    """Whether every thing stands where it stood, in its colour and shape: the named one in the new colour."""
    names = {rgb: name for name, rgb in scenes.COLOURS.items()}
    seen = objects(image)

    def shown(step):
        shape, (x, y, _), colour, _ = step
        near = [o for o in seen if abs(o["centre"][0] - x) < .12 and abs(o["centre"][1] - y) < .12]
        return bool(near) and (near[0]["colour"], near[0]["shape"]) == (names[colour], shape)
    return {"edit": len(seen) >= len(after["steps"]) and all(shown(s) for s in after["steps"])}


def held_out(count, seed=77):
    """count scenes of combinations that training never saw, a third each of one, two, count."""
    rng = np.random.default_rng(seed)
    return [scenes.sample(rng, True, scenes.FAMILY[("one", "two", "count")[i % 3]]) for i in range(count)]


def table(facts, verdicts):
    total = {}
    for fact, verdict in zip(facts, verdicts):
        for k, ok in verdict.items():
            total.setdefault(k, []).append(ok)
            total.setdefault("%s (%s)" % (k, fact["kind"]), []).append(ok)
    return {k: (100.0 * sum(v) / len(v), len(v)) for k, v in sorted(total.items())}


def show(result):
    for k, (percent, n) in result.items():
        print("%-20s %5.1f %%  of %d" % (k, percent, n))
    sys.stdout.flush()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--models", default="graphs/mini/models")
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--cfg", type=float, default=1.0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--edits", type=int, default=60, help="edits of a reference picture that are tried")
    p.add_argument("--truth", action="store_true")
    p.add_argument("--sheet", help="also write a contact sheet of the first 36 captions here")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    world = held_out(a.count)
    facts = [s["fact"] for s in world]
    pairs = edit_pairs(a.edits)
    if a.truth:
        show(table(facts, [judge(f, scenes.render(s, a.size)) for f, s in zip(facts, world)]))
        show(table([b["fact"] for b, _ in pairs], [judge_edit(s, scenes.render(s, a.size)) for _, s in pairs]))
        return
    import export
    import sample
    text, flux, vae, tok = export.load(a.models)
    images, prompts = [], [s["captions"][0] for s in world]
    for at in range(0, len(prompts), 10):
        seeds = range(1000 + at, 1000 + at + len(prompts[at:at + 10]))
        images.extend(sample.draw(text, flux, vae.decode, tok, prompts[at:at + 10], seeds, a.size, a.steps, a.cfg))
    print("%d steps, cfg %g, %dx%d" % (a.steps, a.cfg, a.size, a.size))
    show(table(facts, [judge(f, i) for f, i in zip(facts, images)]))
    edited = []
    for at in range(0, len(pairs), 10):
        part = pairs[at:at + 10]
        with torch.no_grad():
            ref = vae.encode(common.to_float(np.stack([scenes.render(b, a.size) for b, _ in part])))
        edited.extend(sample.draw(text, flux, vae.decode, tok, [s["captions"][0] for _, s in part],
                                  range(2000 + at, 2000 + at + len(part)), a.size, a.steps, a.cfg, refs=(ref,)))
    show(table([b["fact"] for b, _ in pairs], [judge_edit(s, i) for (_, s), i in zip(pairs, edited)]))
    print("autoencoder          %5.1f dB" % export.psnr(vae))
    if a.sheet:
        common.write_png(a.sheet, common.sheet(images[:36], 6))
        print("\n".join("%2d %s" % (i + 1, t) for i, t in enumerate(prompts[:36])))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
