"""inputs.py - the pictures that the mini workflows start from: `python graphs/mini/train/inputs.py --out graphs/input`."""
import argparse
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np  # noqa: E402

import common  # noqa: E402
import scenes  # noqa: E402

RED, BLUE, WHITE = scenes.COLOURS["red"], scenes.COLOURS["blue"], (scenes.BACKS["white"],) * 2


def scene(back, steps):
    return scenes.render({"back": back, "steps": steps}, 256)


def house():
    return scene(scenes.SKY, [("box", (.5, .9, .6, .18), scenes.GRASS, "flat")] +
                 scenes._house(.42, .6, .45, RED, BLUE, "flat"))


def sketch():
    """Blobs where a red thing with a blue roof could be."""
    return scene(WHITE, [("ellipse", (.5, .62, .26, .2), (200, 70, 60), "flat"),
                         ("ellipse", (.5, .34, .3, .13), (60, 80, 190), "flat")])


def write_with_hole(path, image, hole):
    """RGBA; the hole (x0, y0, x1, y1) is transparent."""
    alpha = np.full(image.shape[:2] + (1,), 255, np.uint8)
    x0, y0, x1, y1 = hole
    alpha[y0:y1, x0:x1] = 0
    rgba = np.concatenate((image, alpha), 2)
    rows = b"".join(b"\0" + row.tobytes() for row in rgba)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 256, 256, 8, 6, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="graphs/input")
    a = p.parse_args()
    common.write_png(a.out + "/mini_scene.png", scene(WHITE, [("circle", (.5, .5, .22), RED, "flat")]))
    common.write_png(a.out + "/mini_sketch.png", sketch())
    write_with_hole(a.out + "/mini_hole.png", house(), (152, 8, 248, 104))


if __name__ == "__main__":
    main()
