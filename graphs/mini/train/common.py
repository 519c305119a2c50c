"""common.py - what every stage of the training shares: checkpoints, progress, PNG and safetensors files."""
import json
import os
import struct
import sys
import time
import zlib

import numpy as np
import torch


def save_checkpoint(path, state):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


def load_checkpoint(path):
    return torch.load(path, map_location="cpu", weights_only=False) if os.path.exists(path) else None


# bf16 products where the processor has them; elsewhere they would be emulated, far slower than float32.
BF16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=BF16)


def say(*words):
    print(time.strftime("%H:%M:%S"), *words)
    sys.stdout.flush()


def write_png(path, image):
    """uint8 [H,W,3] to a PNG file."""
    h, w, _ = image.shape
    rows = b"".join(b"\0" + image[i].tobytes() for i in range(h))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b""))


def sheet(images, columns):
    """Equal pictures in a grid; missing ones white."""
    images = list(images)
    while len(images) % columns:
        images.append(np.full_like(images[0], 255))
    rows = [np.concatenate(images[i:i + columns], 1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, 0)


NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64", torch.uint8: "U8",
         torch.float8_e4m3fn: "F8_E4M3"}


def write_safetensors(path, tensors, metadata=None):
    """Write tensors (a dict) as a safetensors file, sorted by name, 8-byte aligned header."""
    header, blobs, at = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name in sorted(tensors):
        t = tensors[name].detach().contiguous()
        raw = t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(path + ".tmp", path)


def read_safetensors(path):
    """(tensors, metadata) of a safetensors file."""
    kinds = {v: k for k, v in NAMES.items()}
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop("__metadata__", {})
    out = {}
    for name, d in header.items():
        a, b = d["data_offsets"]
        raw = torch.frombuffer(bytearray(data[8 + n + a:8 + n + b]) or bytearray(1), dtype=torch.uint8)[:b - a]
        out[name] = raw.view(kinds[d["dtype"]]).reshape(d["shape"])
    return out, meta


def to_float(images):
    """uint8 [B,H,W,3] -> float [B,3,H,W] in -1..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(y):
    """float [B,3,H,W] in -1..1 -> uint8 [B,H,W,3], as SaveImage does (truncation)."""
    return (((y + 1) / 2).clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module, decay):
        self.decay, self.step = decay, 0
        self.shadow = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module):
        self.step += 1
        d = min(self.decay, (1 + self.step) / (10 + self.step))
        own = dict(module.state_dict())
        keys = [k for k in self.shadow if self.shadow[k].is_floating_point()]
        torch._foreach_lerp_([self.shadow[k] for k in keys], [own[k] for k in keys], 1 - d)


def orthogonal(x):
    """Newton-Schulz: the nearest matrix with equal singular values, for a stack [n, rows, columns], rows <= columns."""
    x = x.bfloat16() if BF16 else x
    x = x / (x.float().square().sum((1, 2), keepdim=True).sqrt() + 1e-8).to(x.dtype)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315) @ x
    return x.float()
