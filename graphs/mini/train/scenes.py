"""scenes.py - procedurally drawn, captioned pictures: the only data the small model has seen.

A scene is a list of drawing steps in unit coordinates (0..1, y downwards), a caption in several wordings, a
`fact` dict that says what can be checked in the picture, and a `key` that decides whether the combination is held out.
`sample(rng)` makes a scene, `render(scene, size)` draws it as uint8 [size,size,3] with anti-aliased edges computed from
signed distances.
"""
import math
import zlib

import numpy as np

COLOURS = {
    "red": (214, 40, 40), "orange": (245, 140, 20), "yellow": (250, 215, 30), "green": (40, 155, 70),
    "cyan": (40, 195, 215), "blue": (35, 85, 205), "purple": (125, 50, 170), "pink": (245, 130, 180),
    "brown": (125, 75, 40), "black": (25, 25, 28),
}
BACKS = {
    "white": (250, 250, 250), "grey": (165, 168, 172), "black": (20, 20, 24), "light blue": (175, 215, 245),
    "light green": (190, 230, 185), "cream": (250, 238, 205), "navy": (25, 35, 80),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring")
NUMBERS = ("zero", "one", "two", "three", "four", "five")
PLACES = {
    "top left": (.25, .25), "top": (.5, .25), "top right": (.75, .25), "left": (.25, .5), "middle": (.5, .5),
    "right": (.75, .5), "bottom left": (.25, .75), "bottom": (.5, .75), "bottom right": (.75, .75),
}
RELATIONS = {
    "left": ("to the left of", "left of"), "right": ("to the right of", "right of"),
    "above": ("above", "over"), "below": ("below", "under"),
}
INK = (30, 30, 34)
PAPER, CHALK = (32, 74, 150), (236, 243, 252)
STYLES = ("flat", "outlined", "shaded")


def held(key):
    """True for the tenth of the combinations that training never sees."""
    return zlib.crc32(key.encode()) % 10 == 0


# ---------------------------------------------------------------- drawing

def _polygon(n, r0, r1=None, turn=-math.pi / 2):
    pts = []
    for i in range(n if r1 is None else 2 * n):
        r = r0 if r1 is None or i % 2 == 0 else r1
        a = turn + 2 * math.pi * i / (n if r1 is None else 2 * n)
        pts.append((r * math.cos(a), r * math.sin(a)))
    return pts


def _heart():
    pts = []
    for i in range(28):
        a = 2 * math.pi * i / 28
        pts.append((16 * math.sin(a) ** 3 / 17,
                    -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 17 - .12))
    return pts


POLYGONS = {
    "triangle": [(0, -.98), (1.0, .78), (-1.0, .78)],
    "star": _polygon(5, 1.08, .46),
    "heart": _heart(),
    "diamond": [(0, -1.1), (.78, 0), (0, 1.1), (-.78, 0)],
    "cross": [(-.32, -.95), (.32, -.95), (.32, -.32), (.95, -.32), (.95, .32), (.32, .32), (.32, .95), (-.32, .95),
              (-.32, .32), (-.95, .32), (-.95, -.32), (-.32, -.32)],
}


def _poly_distance(x, y, pts):
    """Signed distance to a polygon; negative inside. x, y: float32 grids."""
    best = np.full(np.broadcast(x, y).shape, 1e9, np.float32)
    inside = np.zeros(best.shape, bool)
    n = len(pts)
    for i in range(n):
        ax, ay = pts[i]
        bx, by = pts[(i + 1) % n]
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-12), 0, 1)
        dx, dy = wx - ex * t, wy - ey * t
        best = np.minimum(best, dx * dx + dy * dy)
        if ay != by:
            crosses = ((ay <= y) != (by <= y)) & (x < ax + (y - ay) * (ex / ey))
            inside ^= crosses
    d = np.sqrt(best)
    return np.where(inside, -d, d)


def _distance(kind, p, x, y):
    """Signed distance, in units of the picture, of one drawing step."""
    if kind == "poly":
        return _poly_distance(x, y, p)
    if kind in ("circle", "ring", "square", "moon") or kind in POLYGONS:
        cx, cy, r = p
        x, y = x - cx, y - cy
        if kind == "circle":
            return np.sqrt(x * x + y * y) - r
        if kind == "ring":
            return np.abs(np.sqrt(x * x + y * y) - .74 * r) - .26 * r
        if kind == "square":
            return _box(x, y, .86 * r, .86 * r)
        if kind == "moon":
            a = np.sqrt(x * x + y * y) - r
            b = np.sqrt((x - .5 * r) ** 2 + (y + .15 * r) ** 2) - .85 * r
            return np.maximum(a, -b)
        return _poly_distance(x, y, [(a * r, b * r) for a, b in POLYGONS[kind]])
    if kind == "box":
        return _box(x - p[0], y - p[1], p[2], p[3])
    if kind == "ellipse":
        cx, cy, rx, ry = p
        k = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        return (k - 1) * min(rx, ry)
    if kind == "line":
        ax, ay, bx, by, w = p
        ex, ey = bx - ax, by - ay
        t = np.clip(((x - ax) * ex + (y - ay) * ey) / max(ex * ex + ey * ey, 1e-12), 0, 1)
        return np.sqrt((x - ax - ex * t) ** 2 + (y - ay - ey * t) ** 2) - w
    raise ValueError(kind)


def _box(x, y, hw, hh):
    dx, dy = np.abs(x) - hw, np.abs(y) - hh
    out = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    return out + np.minimum(np.maximum(dx, dy), 0)


def blueprint(scene):
    """The same scene as white lines on blue paper: what the style LoRA learns."""
    out = dict(scene)
    out["back"] = (PAPER, PAPER)
    out["steps"] = [(kind, p, colour, "blueprint") for kind, p, colour, _ in scene["steps"]]
    return out


def _bounds(kind, p):
    if kind == "poly":
        xs, ys = [a for a, _ in p], [b for _, b in p]
        return min(xs), min(ys), max(xs), max(ys)
    if kind == "box" or kind == "ellipse":
        return p[0] - p[2], p[1] - p[3], p[0] + p[2], p[1] + p[3]
    if kind == "line":
        return min(p[0], p[2]) - p[4], min(p[1], p[3]) - p[4], max(p[0], p[2]) + p[4], max(p[1], p[3]) + p[4]
    return p[0] - 1.2 * p[2], p[1] - 1.2 * p[2], p[0] + 1.2 * p[2], p[1] + 1.2 * p[2]


def _paint(img, step, size):
    kind, p, colour, style = step
    x0, y0, x1, y1 = _bounds(kind, p)
    px0, py0 = max(0, int(x0 * size) - 3), max(0, int(y0 * size) - 3)
    px1, py1 = min(size, int(x1 * size) + 4), min(size, int(y1 * size) + 4)
    if px0 >= px1 or py0 >= py1:
        return
    x = ((np.arange(px0, px1, dtype=np.float32) + .5) / size)[None, :]
    y = ((np.arange(py0, py1, dtype=np.float32) + .5) / size)[:, None]
    d = _distance(kind, p, x, y) * size
    part = img[py0:py1, px0:px1]
    ink = np.array(colour, np.float32)
    if style == "shaded":
        u = ((x - x0) / max(x1 - x0, 1e-6) + (y - y0) / max(y1 - y0, 1e-6)) / 2
        light = np.clip(.75 - u, -.5, .5)[..., None]
        ink = np.where(light > 0, ink + (255 - ink) * light * 1.0, ink * (1 + light * 1.1))
    a = np.clip(.5 - d, 0, 1)[..., None]
    if style == "blueprint":
        w, ink = .008 * size, np.array(PAPER, np.float32)
        part += (np.array(CHALK, np.float32) - part) * np.clip(.5 - (d - w), 0, 1)[..., None]
        a = np.clip(.5 - (d + w), 0, 1)[..., None]
    if style == "outlined":
        w = .011 * size
        edge = np.clip(.5 - (d - w), 0, 1)[..., None]
        part += (np.array(INK, np.float32) - part) * edge
        a = np.clip(.5 - (d + w), 0, 1)[..., None]
    part += (ink - part) * a


def render(scene, size):
    """Draw a scene: uint8 [size, size, 3]."""
    img = np.empty((size, size, 3), np.float32)
    top, bottom = scene["back"]
    t = ((np.arange(size, dtype=np.float32) + .5) / size)[:, None, None]
    img[:] = np.array(top, np.float32) * (1 - t) + np.array(bottom, np.float32) * t
    for step in scene["steps"]:
        _paint(img, step, size)
    return np.clip(img + .5, 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- wording

def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def _article(text):
    return ("an " if text[0] in "aeiou" else "a ") + text


def _far(colour, back, limit=110):
    return sum(abs(a - b) for a, b in zip(colour, back)) > limit


def _setting(rng, colours):
    """A background that shows the colours, and its words ('' when left open)."""
    r = rng.random()
    if r < .55:
        return "white", BACKS["white"], ""
    names = [n for n, c in BACKS.items() if all(_far(COLOURS[k], c, 130) for k in colours)]
    name = _pick(rng, names)
    words = [" on a %s background", " on %s", " against a %s background", ", %s background"]
    return name, BACKS[name], _pick(rng, words) % name


def _style(rng):
    r = rng.random()
    if r < .62:
        return "flat", ""
    if r < .81:
        return "outlined", _pick(rng, (", outlined", ", with an outline", ", outlined style"))
    return "shaded", _pick(rng, (", shaded", ", soft shading", ", shaded style"))


def _wordings(rng, make, n=4):
    out = []
    while len(out) < n:
        text = make().strip()
        r = rng.random()
        if r < .25:
            text = text[0].upper() + text[1:]
        if rng.random() < .12:
            text += "."
        out.append(text)
    return out


def _lead(rng):
    return _pick(rng, ("", "", "", "", "a picture of ", "a drawing of "))


# ---------------------------------------------------------------- families

SIZES = {"small": (.10, .13), "": (.17, .22), "large": (.29, .34)}


def _one(rng):
    colour, shape = _pick(rng, list(COLOURS)), _pick(rng, SHAPES)
    size = _pick(rng, ("small", "", "", "", "large"))
    place = "" if size == "large" or rng.random() < .4 else _pick(rng, list(PLACES))
    lo, hi = SIZES[size]
    r = lo + (hi - lo) * rng.random()
    if place:
        x, y = PLACES[place]
        x, y = x + .03 * (rng.random() * 2 - 1), y + .03 * (rng.random() * 2 - 1)
    else:
        x, y = .5 + .05 * (rng.random() * 2 - 1), .5 + .05 * (rng.random() * 2 - 1)
    bname, back, btext = _setting(rng, [colour])
    style, stext = _style(rng)
    size_words = {"small": ("small", "little", "tiny"), "": ("",), "large": ("large", "big")}[size]

    def make():
        s = _pick(rng, size_words)
        noun = ((s + " ") if s else "") + colour + " " + shape
        where = ""
        if place:
            where = _pick(rng, (" in the %s", " at the %s", " on the %s")[0 if place == "middle" else 1:]) % place
            if place == "middle":
                where = _pick(rng, (" in the middle", " in the centre"))
        text = _lead(rng) + _article(noun) + where + btext + stext
        return text

    return {"back": (back, back), "steps": [(shape, (x, y, r), COLOURS[colour], style)],
            "captions": _wordings(rng, make), "key": "one|%s|%s|%s" % (size, colour, shape),
            "fact": {"kind": "one", "colour": colour, "shape": shape, "place": place, "size": size, "back": bname,
                     "style": style}}


def _two(rng):
    c1, s1 = _pick(rng, list(COLOURS)), _pick(rng, SHAPES)
    while True:
        c2, s2 = _pick(rng, list(COLOURS)), _pick(rng, SHAPES)
        if c2 != c1:
            break
    rel = _pick(rng, list(RELATIONS))
    r1, r2 = .13 + .05 * rng.random(), .13 + .05 * rng.random()
    gap, slide = .25 + .02 * (rng.random() * 2 - 1), .06 * (rng.random() * 2 - 1)
    dx, dy = {"left": (-gap, slide), "right": (gap, slide), "above": (slide, -gap), "below": (slide, gap)}[rel]
    bname, back, btext = _setting(rng, [c1, c2])
    style, stext = _style(rng)

    def make():
        text = _article(c1 + " " + s1) + " " + _pick(rng, RELATIONS[rel]) + " " + _article(c2 + " " + s2)
        return text + btext + stext

    return {"back": (back, back), "steps": [(s1, (.5 + dx, .5 + dy, r1), COLOURS[c1], style),
                                            (s2, (.5 - dx, .5 - dy, r2), COLOURS[c2], style)],
            "captions": _wordings(rng, make), "key": "two|%s %s|%s|%s %s" % (c1, s1, rel, c2, s2),
            "fact": {"kind": "two", "colour": c1, "shape": s1, "relation": rel, "colour2": c2, "shape2": s2,
                     "back": bname, "style": style}}


LAYOUTS = {
    2: [[(.28, .5), (.72, .5)]],
    3: [[(.2, .5), (.5, .5), (.8, .5)], [(.5, .27), (.27, .7), (.73, .7)]],
    4: [[(.28, .28), (.72, .28), (.28, .72), (.72, .72)]],
    5: [[(.24, .24), (.76, .24), (.5, .5), (.24, .76), (.76, .76)]],
}


def _count(rng):
    colour, shape = _pick(rng, list(COLOURS)), _pick(rng, SHAPES)
    n = 2 + int(rng.integers(4))
    style, stext = _style(rng)
    bname, back, btext = _setting(rng, [colour])
    r = {2: .16, 3: .125, 4: .15, 5: .125}[n] * (.9 + .2 * rng.random())
    j = .025
    steps = []
    for x, y in _pick(rng, LAYOUTS[n]):
        pos = (x + j * (rng.random() * 2 - 1), y + j * (rng.random() * 2 - 1), r)
        steps.append((shape, pos, COLOURS[colour], style))
    plural = shape + ("es" if shape == "cross" else "s")

    def make():
        return _lead(rng) + _pick(rng, (NUMBERS[n], NUMBERS[n], str(n))) + " " + colour + " " + plural + btext + stext

    return {"back": (back, back), "steps": steps, "captions": _wordings(rng, make),
            "key": "count|%d|%s|%s" % (n, colour, shape),
            "fact": {"kind": "count", "count": n, "colour": colour, "shape": shape, "back": bname, "style": style}}


SKY, DUSK, NIGHT = ((120, 190, 245), (205, 232, 250)), ((250, 150, 90), (255, 215, 160)), ((14, 18, 55), (38, 45, 105))
GRASS, SEA, SAND, SNOW = (95, 175, 75), (40, 110, 190), (235, 210, 150), (240, 245, 250)


def _house(x, y, s, wall, roof, style):
    return [("box", (x, y, .5 * s, .38 * s), wall, style),
            ("poly", [(x - .64 * s, y - .36 * s), (x, y - .95 * s), (x + .64 * s, y - .36 * s)], roof, style),
            ("box", (x - .18 * s, y + .14 * s, .1 * s, .24 * s), (95, 60, 35), style),
            ("box", (x + .22 * s, y - .02 * s, .12 * s, .12 * s), (200, 230, 250), style)]


def _tree(x, y, s, crown, style, pine=False):
    out = [("box", (x, y + .35 * s, .08 * s, .3 * s), (115, 75, 40), style)]
    if pine:
        for k, w in ((.2, .45), (-.15, .37), (-.48, .28)):
            out.append(("poly", [(x - w * s, y + (k + .1) * s), (x, y + (k - .42) * s), (x + w * s, y + (k + .1) * s)],
                        crown, style))
    else:
        out.append(("circle", (x, y - .22 * s, .45 * s), crown, style))
    return out


def _sun(x, y, s, style):
    out = [("line", (x + .62 * s * math.cos(a), y + .62 * s * math.sin(a), x + .95 * s * math.cos(a),
                     y + .95 * s * math.sin(a), .05 * s), (250, 200, 30), "flat")
           for a in [i * math.pi / 4 for i in range(8)]]
    return out + [("circle", (x, y, .48 * s), (252, 210, 40), style)]


def _boat(x, y, s, hull, sail, style):
    return [("box", (x, y - .25 * s, .03 * s, .6 * s), (95, 60, 35), "flat"),
            ("poly", [(x + .06 * s, y - .82 * s), (x + .06 * s, y - .05 * s), (x + .6 * s, y - .05 * s)], sail, style),
            ("poly", [(x - .7 * s, y + .05 * s), (x + .7 * s, y + .05 * s), (x + .45 * s, y + .4 * s),
                      (x - .45 * s, y + .4 * s)], hull, style)]


def _cat(x, y, s, fur, style):
    dark = INK if sum(fur) > 200 else (200, 200, 200)
    out = [("poly", [(x + k * .75 * s, y - .3 * s), (x + k * .68 * s, y - .95 * s), (x + k * .2 * s, y - .62 * s)],
            fur, style) for k in (-1, 1)]
    out += [("circle", (x, y, .72 * s), fur, style)]
    for k in (-1, 1):
        out += [("circle", (x + k * .28 * s, y - .12 * s, .15 * s), (250, 250, 250), "flat"),
                ("circle", (x + k * .28 * s, y - .12 * s, .075 * s), INK, "flat")]
        out += [("line", (x + k * .25 * s, y + (.22 + d) * s, x + k * .9 * s, y + (.16 + 2.2 * d) * s, .018 * s), dark,
                 "flat") for d in (0, .09)]
    out.append(("poly", [(x - .1 * s, y + .1 * s), (x + .1 * s, y + .1 * s), (x, y + .22 * s)], (240, 120, 150), "flat"))
    return out


def _mountains(rng, base, style):
    out = []
    for x, h, w in ((.22, .38, .3), (.78, .34, .32), (.5, .52, .36)):
        x, h = x + .04 * (rng.random() * 2 - 1), h * (.92 + .16 * rng.random())
        out.append(("poly", [(x - w, base), (x, base - h), (x + w, base)], (125, 128, 140), style))
        out.append(("poly", [(x - .28 * w, base - .72 * h), (x, base - h), (x + .28 * w, base - .72 * h)],
                    (245, 248, 252), "flat"))
    return out


def _stars(rng, n, low=.6):
    return [("star", (.06 + .88 * rng.random(), .05 + (low - .05) * rng.random(), .016 + .014 * rng.random()),
             (255, 245, 190), "flat") for _ in range(n)]


def _flower(x, y, s, petal, style):
    out = [("line", (x, y, x, y + 1.0 * s, .05 * s), (50, 140, 60), "flat"),
           ("ellipse", (x + .22 * s, y + .72 * s, .2 * s, .08 * s), (50, 140, 60), "flat")]
    for i in range(6):
        a = i * math.pi / 3
        out.append(("circle", (x + .32 * s * math.cos(a), y + .32 * s * math.sin(a), .21 * s), petal, style))
    return out + [("circle", (x, y, .2 * s), (250, 205, 40) if petal != COLOURS["yellow"] else (150, 90, 40), "flat")]


def _fish(x, y, s, colour, style):
    return [("poly", [(x + .5 * s, y), (x + 1.0 * s, y - .38 * s), (x + 1.0 * s, y + .38 * s)], colour, style),
            ("ellipse", (x, y, .68 * s, .42 * s), colour, style),
            ("circle", (x - .35 * s, y - .1 * s, .1 * s), (250, 250, 250), "flat"),
            ("circle", (x - .35 * s, y - .1 * s, .05 * s), INK, "flat")]


def _car(x, y, s, colour, style):
    out = [("poly", [(x - .5 * s, y - .12 * s), (x - .32 * s, y - .46 * s), (x + .3 * s, y - .46 * s),
                     (x + .5 * s, y - .12 * s)], colour, style),
           ("poly", [(x - .34 * s, y - .14 * s), (x - .25 * s, y - .37 * s), (x + .24 * s, y - .37 * s),
                     (x + .34 * s, y - .14 * s)], (200, 230, 250), "flat"),
           ("box", (x, y + .06 * s, .85 * s, .2 * s), colour, style)]
    for k in (-1, 1):
        out += [("circle", (x + k * .48 * s, y + .28 * s, .19 * s), INK, "flat"),
                ("circle", (x + k * .48 * s, y + .28 * s, .08 * s), (190, 190, 195), "flat")]
    return out


def _snowman(x, y, s):
    white, out = (246, 249, 253), []
    for dy, r in ((.55, .48), (-.1, .34), (-.6, .24)):
        out.append(("circle", (x, y + dy * s, r * s), white, "shaded"))
    for k in (-1, 1):
        out.append(("circle", (x + k * .09 * s, y - .65 * s, .035 * s), INK, "flat"))
    out.append(("poly", [(x, y - .6 * s), (x, y - .53 * s), (x + .24 * s, y - .55 * s)], (245, 130, 30), "flat"))
    return out + [("circle", (x, y + k * s, .035 * s), INK, "flat") for k in (-.15, .0)]


def _day(rng):
    """A sky with its words: (pair of colours, text, name)."""
    r = rng.random()
    if r < .6:
        return SKY, "", "day"
    if r < .8:
        return NIGHT, _pick(rng, (" at night", " in the night")), "night"
    return DUSK, _pick(rng, (" at sunset", " in the evening")), "sunset"


def _ground(rng, colour, top=.72):
    return ("box", (.5, top + .5, .8, .5), colour, "flat")


def _thing(rng):
    kind = _pick(rng, ("house", "house", "tree", "pine", "sun", "boat", "cat", "cat", "mountains", "night", "flower",
                       "flower", "fish", "car", "snowman", "house tree", "boat sun", "house sun", "moon"))
    names = list(COLOURS)
    colour, second = _pick(rng, names), _pick(rng, names)
    style, stext = _style(rng)
    sky, when, day = _day(rng)
    x, s = .5 + .05 * (rng.random() * 2 - 1), .9 + .2 * rng.random()
    steps, texts = [], None
    extras = _stars(rng, 8, .45) if day == "night" else []
    ink = COLOURS[colour]
    fact = {"kind": "thing", "thing": kind, "colour": colour, "style": style, "back": day}
    if kind in ("house", "house tree", "house sun"):
        while second == colour:
            second = _pick(rng, names)
        hx = x if kind != "house tree" else .34
        steps = extras + [_ground(rng, GRASS)]
        if kind == "house sun":
            sky, when, steps = SKY, "", [_ground(rng, GRASS)] + _sun(.83, .18, .13, style)
        steps += _house(hx, .62, .42 * s, ink, COLOURS[second], style)
        noun = _article(colour + " house") + _pick(rng, (" with %s roof", " and %s roof")) % _article(second)
        if kind == "house tree":
            steps += _tree(.78, .62, .4 * s, (45, 140, 60), style)
            texts = [noun + " next to a tree", noun + " beside a tree", noun + " and a tree"]
        elif kind == "house sun":
            texts = [noun + " under the sun", noun + " and a sun", "the sun over " + noun]
        else:
            texts = [noun]
        fact["colour2"] = second
    elif kind in ("tree", "pine"):
        colour = _pick(rng, ("green", "green", "orange", "red", "yellow", "pink"))
        fact["colour"] = colour
        steps = extras + [_ground(rng, GRASS)] + _tree(x, .52, .6 * s, COLOURS[colour], style, kind == "pine")
        noun = {"tree": "tree", "pine": "pine tree"}[kind]
        texts = [_article(colour + " " + noun)]
    elif kind == "sun":
        sky, when = SKY, ""
        steps = _sun(x, .45, .32 * s, style)
        texts = ["a sun in the sky", "the sun in a blue sky", "a bright sun"]
    elif kind == "moon":
        sky, when, day = NIGHT, "", "night"
        steps = _stars(rng, 10, .9) + [("moon", (x, .45, .22 * s), (250, 235, 170), style)]
        texts = ["a moon and stars", "the moon in a starry sky", "a moon in the night sky"]
    elif kind in ("boat", "boat sun"):
        sail = _pick(rng, ("white", "red", "yellow", "orange", "pink"))
        if sail == colour:
            sail = "white"
        steps = extras
        if kind == "boat sun":
            sky, when, steps = SKY, "", _sun(.2, .2, .14, style)
        steps = steps + [_ground(rng, SEA, .68)]
        steps += _boat(x, .64, .4 * s, ink, BACKS["white"] if sail == "white" else COLOURS[sail], style)
        noun = _article(colour + " boat") + _pick(rng, (" with %s sail", " and %s sail")) % _article(sail)
        if kind == "boat sun":
            texts = [noun + " under the sun", noun + " and a sun"]
        else:
            texts = [noun + " on the sea", noun + " on the water"]
        fact["colour2"] = sail
    elif kind == "cat":
        bname, back, btext = _setting(rng, [colour])
        sky, when, fact["back"] = (back, back), "", bname
        steps = _cat(x, .54, .36 * s, ink, style)
        texts = ["the face of " + _article(colour + " cat") + btext, _article(colour + " cat face") + btext,
                 _article(colour + " cat") + btext]
    elif kind == "mountains":
        steps = extras + _mountains(rng, .74, style) + [_ground(rng, GRASS)]
        texts = ["mountains with snow", "snowy mountains", "grey mountains with snow"]
        if day == "day" and rng.random() < .4:
            steps = _sun(.84, .16, .12, "flat") + steps
            texts = [t + " and a sun" for t in texts]
    elif kind == "night":
        sky, when, day = NIGHT, "", "night"
        steps = _stars(rng, 22, .95)
        texts = ["a night sky with stars", "a starry night sky", "stars at night", "a night sky full of stars"]
    elif kind == "flower":
        steps = extras + [_ground(rng, GRASS, .82)] + _flower(x, .42, .42 * s, ink, style)
        texts = [_article(colour + " flower"), _article(colour + " flower") + " in the grass"]
    elif kind == "fish":
        sky, when, fact["back"] = ((70, 165, 215), (30, 95, 165)), "", "water"
        steps = [_ground(rng, SAND, .86)] + _fish(x - .04, .46, .34 * s, ink, style)
        texts = [_article(colour + " fish"), _article(colour + " fish") + " in the water",
                 _article(colour + " fish") + " in the sea"]
    elif kind == "car":
        steps = extras + [_ground(rng, (110, 112, 118), .7)] + _car(x, .6, .42 * s, ink, style)
        texts = [_article(colour + " car") + " on a road", _article(colour + " car")]
    elif kind == "snowman":
        steps = extras + [_ground(rng, SNOW)] + _snowman(x, .54, .38 * s)
        texts = ["a snowman", "a snowman in the snow"]

    def make():
        return _lead(rng) * (texts[0][:3] != "the") + _pick(rng, texts) + when + stext

    return {"back": sky, "steps": steps, "captions": _wordings(rng, make),
            "key": "thing|%s|%s|%s" % (kind, fact["colour"], fact.get("colour2", "")), "fact": fact}


FAMILIES = ((_one, .28), (_two, .32), (_count, .18), (_thing, .22))


def sample(rng, want_held=False, family=None):
    """A scene of the training set, or (want_held) of the held-out combinations."""
    while True:
        make = family
        if make is None:
            r = rng.random()
            for make, p in FAMILIES:
                if r < p:
                    break
                r -= p
        scene = make(rng)
        if held(scene["key"]) == want_held:
            return scene


FAMILY = {"one": _one, "two": _two, "count": _count, "thing": _thing}


# ---------------------------------------------------------------- edits

def sample_edit(rng, want_held=False, family=None):
    """A pair for the edit ability: (scene before, scene after); the captions of the second are the instruction."""
    before = sample(rng, want_held, family or _pick(rng, (_one, _two, _two)))
    after = dict(before)
    steps = list(before["steps"])
    which = int(rng.integers(len(steps)))
    shape, pos, _, style = steps[which]
    fact = before["fact"]
    old = fact["colour"] if which == 0 else fact["colour2"]
    other = fact.get("colour2") if which == 0 else fact["colour"]
    back = BACKS[fact["back"]]
    names = [n for n, c in COLOURS.items() if n not in (old, other) and _far(c, back, 130)]
    new = _pick(rng, names)
    steps[which] = (shape, pos, COLOURS[new], style)
    after["steps"] = steps

    def make():
        noun = "the %s %s" % (old, shape)
        if fact.get("shape2") != fact["shape"]:
            noun = _pick(rng, ("the " + shape, noun))
        return _pick(rng, ("make %s %s", "turn %s %s", "colour %s %s")) % (noun, new)

    after["captions"] = _wordings(rng, make)
    return before, after
