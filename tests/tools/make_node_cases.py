"""make_node_cases.py - single calls of node types with their results, for tests/nodes/test_cases.c.

    python3 tests/tools/make_node_cases.py tests/data/nodes [random patterns]

Needs torch, safetensors, Pillow. Results are computed with torch's own operators (rot90, conv2d, unfold ...) from
the definitions of the nodes, never with the code under test.
"""
import json
import math
import random
import re
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(20)
T, NAMES, CASES = {}, {}, []


def put(t):
    """Name of the tensor; equal ones are stored once."""
    t = t.detach().clone().contiguous().float()
    key = (tuple(t.shape), t.numpy().tobytes())
    if key not in NAMES:
        NAMES[key] = "t%d" % len(T)
        T[NAMES[key]] = t
    return NAMES[key]


def image(*shape):
    return torch.rand(*shape)


def case(op, tensors=None, params=None, out=(), **more):
    def named(v):
        return put(v) if torch.is_tensor(v) else [named(x) for x in v] if isinstance(v, (list, tuple)) else v

    def result(v):
        if torch.is_tensor(v):
            return put(v)
        if isinstance(v, dict):
            return {k: put(x) if torch.is_tensor(x) else x for k, x in v.items()}
        return v

    c = {"op": op, "in": {k: named(v) for k, v in (tensors or {}).items()}, "params": params or {},
         "out": [result(v) for v in out]}
    c.update(more)
    CASES.append(c)


def resize(x, size, mode, nhwc=True):
    y = x.movedim(-1, 1) if nhwc else x
    kw = {} if mode in ("nearest-exact", "area") else {"align_corners": False}
    y = F.interpolate(y, size=size, mode=mode, **kw)
    return y.movedim(1, -1) if nhwc else y


def center(x, w, h, nhwc=True):
    """common_upscale's centre crop."""
    y = x.movedim(-1, 1) if nhwc else x
    H, W = y.shape[-2:]
    oa, na = W / H, w / h
    dx = round((W - W * (na / oa)) / 2) if oa > na else 0
    dy = round((H - H * (oa / na)) / 2) if oa < na else 0
    y = y[..., dy:H - dy, dx:W - dx]
    return y.movedim(1, -1) if nhwc else y


# ---- pictures ----------------------------------------------------------------------------------------
x = image(2, 5, 7, 3)
for w, h, px, py in ((3, 2, 1, 2), (100, 100, 0, 0), (4, 4, 100, 100)):
    cx, cy = min(px, 6), min(py, 4)
    case("ImageCrop", {"image": x}, {"width": w, "height": h, "x": px, "y": py}, [x[:, cy:cy + h, cx:cx + w]])
case("ImageFlip", {"image": x}, {"flip_method": "x-axis: vertically"}, [x.flip(1)])
case("ImageFlip", {"image": x}, {"flip_method": "y-axis: horizontally"}, [x.flip(2)])
for k, name in enumerate(("none", "90 degrees", "180 degrees", "270 degrees")):
    case("ImageRotate", {"image": x}, {"rotation": name}, [torch.rot90(x, k, (2, 1))])
one = image(1, 1, 1, 3)
case("ImageRotate", {"image": one}, {"rotation": "90 degrees"}, [one])
for side in (4, 14):
    case("ImageScaleToMaxDimension", {"image": x}, {"upscale_method": "bilinear", "largest_size": side},
         [resize(x, (round(5 / 7 * side), side), "bilinear")])
tall = image(1, 9, 4, 3)
case("ImageScaleToMaxDimension", {"image": tall}, {"upscale_method": "area", "largest_size": 6},
     [resize(tall, (6, round(4 / 9 * 6)), "area")])
for color, fill in (("black", 0.0), ("white", 1.0)):
    canvas = torch.full((2, 9, 6, 3), fill)
    canvas[:, 2:6, :] = resize(x, (4, 6), "area")  # 6/7 of 5 rows is 4.28 -> 4
    case("ResizeAndPadImage", {"image": x}, {"target_width": 6, "target_height": 9, "padding_color": color,
                                             "interpolation": "area"}, [canvas])
case("RepeatImageBatch", {"image": x}, {"amount": 3}, [x.repeat(3, 1, 1, 1)])
case("ImageFromBatch", {"image": x}, {"batch_index": 1, "length": 1}, [x[1:2]])
case("ImageFromBatch", {"image": x}, {"batch_index": 9, "length": 9}, [x[1:2]])

a, b, rgba = image(1, 4, 6, 3), image(2, 6, 4, 3), image(1, 4, 6, 4)
case("BatchImagesNode", {"images.image0": a, "images.image1": b},
     out=[torch.cat([a, resize(center(b, 6, 4), (4, 6), "bilinear")])])
case("BatchImagesNode", {"images.image0": a, "images.image1": rgba, "images.image4": a},
     out=[torch.cat([F.pad(a, (0, 1), value=1.0), rgba, F.pad(a, (0, 1), value=1.0)])])
m0, m1 = image(1, 4, 6), image(2, 5, 5)
case("BatchMasksNode", {"masks.mask0": m0, "masks.mask1": m1},
     out=[torch.cat([m0, resize(center(m1[:, None], 6, 4, False), (4, 6), "bilinear", False)[:, 0]])])
pics = [image(3, 4, 4, 3), image(2, 4, 4, 3)]
allp = torch.cat(pics)
case("RebatchImages", {"images": pics}, {"batch_size": 2}, [allp[0:2], allp[2:4], allp[4:5]])
case("RebatchImages", {"images": pics}, {"batch_size": 9}, [allp])


def resized(rule, params, want, method="bilinear", x=x, more=None):
    tensors = {"input": x}
    tensors.update(more or {})
    params = dict({"resize_type." + k: v for k, v in params.items()}, resize_type=rule, scale_method=method)
    case("ResizeImageMaskNode", tensors, params, [want])


resized("scale dimensions", {"width": 4, "height": 4, "crop": "disabled"}, resize(x, (4, 4), "bilinear"))
resized("scale dimensions", {"width": 4, "height": 4, "crop": "center"}, resize(center(x, 4, 4), (4, 4), "bilinear"))
resized("scale dimensions", {"width": 0, "height": 0, "crop": "center"}, x)
resized("scale dimensions", {"width": 0, "height": 10, "crop": "center"}, resize(x, (10, 14), "bilinear"))
resized("scale by multiplier", {"multiplier": 0.5}, resize(x, (2, 4), "bilinear"))
resized("scale longer dimension", {"longer_size": 10}, resize(x, (7, 10), "bilinear"))
resized("scale shorter dimension", {"shorter_size": 10}, resize(x, (10, 14), "bilinear"))
resized("scale width", {"width": 3}, resize(x, (2, 3), "bilinear"))
resized("scale height", {"height": 3}, resize(x, (3, 4), "bilinear"))
resized("match size", {"crop": "disabled"}, resize(x, (4, 6), "bilinear"), more={"resize_type.match": m0})
big = image(1, 21, 26, 3)
sw, sh = 24 / 26, 16 / 21
size = (math.ceil(21 * sw), 24) if sw >= sh else (16, math.ceil(26 * sh))
cover = resize(big, size, "bilinear")
y0, x0 = (size[0] - 16) // 2, (size[1] - 24) // 2
resized("scale to multiple", {"multiple": 8}, cover[:, y0:y0 + 16, x0:x0 + 24], x=big)
resized("scale to multiple", {"multiple": 64}, big, x=big)
mask = image(2, 5, 7)
resized("scale by multiplier", {"multiplier": 2}, resize(mask[:, None], (10, 14), "bicubic", False)[:, 0], "bicubic", mask)
total = int(0.0001 * 1048576)
f = math.sqrt(total / 35)
resized("scale total pixels", {"megapixels": 0.0001}, resize(x, (round(5 * f), round(7 * f)), "nearest-exact"),
        "nearest-exact")
case("ResizeImageMaskNode", {}, {"input": 3, "resize_type": "scale width", "resize_type.width": 3}, error=True)


def box(x, k, largest):
    p = (k // 2, k - k // 2 - 1, k // 2, k - k // 2 - 1)
    y = F.pad(x.movedim(-1, 1), p, value=-1e4 if largest else 1e4)
    w = y.unfold(2, k, 1).unfold(3, k, 1)
    return (w.amax((-1, -2)) if largest else w.amin((-1, -2))).movedim(1, -1)


for k in (3, 4, 9):
    erode, dilate = box(x, k, False), box(x, k, True)
    opened, closed = box(erode, k, True), box(dilate, k, False)
    for op, want in (("erode", erode), ("dilate", dilate), ("open", opened), ("close", closed),
                     ("gradient", dilate - erode), ("top_hat", x - opened), ("bottom_hat", closed - x)):
        case("Morphology", {"image": x}, {"operation": op, "kernel_size": k}, [want])
case("ImageBlur", {"image": x}, {"blur_radius": 5, "sigma": 1.0}, error=True)
case("ImageAddNoise", {"image": x}, {"seed": 7, "strength": 0.25},
     [(x + 0.25 * torch.randn(x.shape, generator=torch.Generator().manual_seed(7))).clamp(0, 1)])
case("ImageAddNoise", {"image": x}, {"seed": 7, "strength": 0.0}, [x])
al = image(1, 3, 4)
case("JoinImageWithAlpha", {"image": x, "alpha": al},
     out=[torch.cat([x, (1 - resize(al[:, None], (5, 7), "bilinear", False)[:, 0]).repeat(2, 1, 1)[..., None]], -1)])
x4 = image(1, 3, 2, 4)
case("SplitImageWithAlpha", {"image": x4}, out=[x4[..., :3], 1 - x4[..., 3]])
case("SplitImageWithAlpha", {"image": x}, out=[x, torch.zeros(2, 5, 7)])
over = image(1, 3, 3, 4)
paste = x.clone()
paste[:, 1:4, 2:5] = over[..., :3]
case("ImageCompositeMasked", {"destination": x, "source": over}, {"x": 2, "y": 1}, [paste])
case("ImageBlend", {"image1": x, "image2": image(1, 5, 7, 4)}, {"blend_factor": 0.0, "blend_mode": "multiply"}, [x])
case("ImageBlend", {"image1": image(3, 2, 2, 3), "image2": x}, {"blend_factor": 0.5, "blend_mode": "normal"}, error=True)


def porter_duff(mode, s, sm, d, dm):
    sa, da = (1 - sm)[..., None], (1 - dm)[..., None]
    s, d = s * sa, d * da
    both, cross = sa + da - sa * da, (1 - da) * s + (1 - sa) * d
    alpha, color = {
        "ADD": ((sa + da).clamp(0, 1), (s + d).clamp(0, 1)), "CLEAR": (da * 0, d * 0),
        "DARKEN": (both, cross + torch.min(s, d)), "DST": (da, d), "DST_ATOP": (sa, sa * d + (1 - da) * s),
        "DST_IN": (sa * da, d * sa), "DST_OUT": ((1 - sa) * da, (1 - sa) * d),
        "DST_OVER": (da + (1 - da) * sa, d + (1 - da) * s), "LIGHTEN": (both, cross + torch.max(s, d)),
        "MULTIPLY": (sa * da, s * d),
        "OVERLAY": (both, torch.where(2 * d < da, 2 * s * d, sa * da - 2 * (da - s) * (sa - d))),
        "SCREEN": (both, s + d - s * d), "SRC": (sa, s), "SRC_ATOP": (da, da * s + (1 - sa) * d),
        "SRC_IN": (sa * da, s * da), "SRC_OUT": ((1 - da) * sa, (1 - da) * s),
        "SRC_OVER": (sa + (1 - sa) * da, s + (1 - sa) * d),
        "XOR": ((1 - da) * sa + (1 - sa) * da, cross)}[mode]
    color = torch.where(alpha > 1e-5, color / alpha, torch.zeros_like(color)).clamp(0, 1)
    return color, 1 - alpha[..., 0]


src, sm, dm = image(2, 5, 7, 3), image(2, 5, 7), image(2, 5, 7)
for mode in ("ADD CLEAR DARKEN DST DST_ATOP DST_IN DST_OUT DST_OVER LIGHTEN MULTIPLY OVERLAY SCREEN SRC SRC_ATOP SRC_IN "
             "SRC_OUT SRC_OVER XOR").split():
    case("PorterDuffImageComposite", {"source": src, "source_alpha": sm, "destination": x, "destination_alpha": dm},
         {"mode": mode}, porter_duff(mode, src, sm, x, dm), tolerance=1e-5)
small, sm2 = image(1, 3, 4, 3), image(1, 4, 4)
case("PorterDuffImageComposite", {"source": small, "source_alpha": sm2, "destination": x, "destination_alpha": dm},
     {"mode": "SRC_OVER"},
     porter_duff("SRC_OVER", resize(center(small, 7, 5), (5, 7), "bicubic"),
                 resize(center(sm2[:, None], 7, 5, False), (5, 7), "bicubic", False)[:, 0], x[:1], dm[:1]), tolerance=1e-5)
r, g, bl = x.unbind(-1)
yy = 0.299 * r + 0.587 * g + 0.114 * bl
yuv = [v[..., None].expand_as(x) for v in (yy, (bl - yy) * 0.564 + 0.5, (r - yy) * 0.713 + 0.5)]
case("ImageRGBToYUV", {"image": x}, out=yuv)
Y, U, V = (image(1, 3, 3, 3) for _ in range(3))
ym, um, vm = (v.mean(-1) for v in (Y, U - 0.5, V - 0.5))
case("ImageYUVToRGB", {"Y": Y, "U": U, "V": V},
     out=[torch.stack([ym + 1.403 * vm, ym - 0.714 * vm - 0.344 * um, ym + 1.773 * um], -1)])

# ---- latents -------------------------------------------------------------------------------------------
p, q = torch.randn(2, 4, 6, 8), torch.randn(1, 4, 6, 8)
case("LatentConcat", {"samples1": p, "samples2": q}, {"dim": "-t"}, [torch.cat([q.repeat(2, 1, 1, 1), p], 1)])
for dim, d in (("x", 3), ("y", 2), ("t", 1)):
    case("LatentCut", {"samples": p}, {"dim": dim, "index": 1, "amount": 2}, [p.narrow(d, 1, 2)])
case("LatentCut", {"samples": p}, {"dim": "x", "index": 50, "amount": 5}, [p[..., 7:]])
case("LatentCut", {"samples": p}, {"dim": "x", "index": -3, "amount": 5}, [p[..., 5:]])
case("LatentCut", {"samples": p}, {"dim": "y", "index": -50, "amount": 2}, [p[:, :, :2]])
case("LatentCutToBatch", {"samples": p}, {"dim": "t", "slice_size": 2}, [p])
for dim, d, n in (("x", 3, 3), ("y", 2, 2), ("x", 3, 100)):
    s = p.movedim(d, 1)
    n = min(n, s.shape[1])
    s = s[:, :s.shape[1] // n * n]
    case("LatentCutToBatch", {"samples": p}, {"dim": dim, "slice_size": n}, [s.reshape(-1, n, *s.shape[2:]).movedim(1, d)])
case("LatentCrop", {"samples": torch.zeros(1, 4, 20, 20)}, {"width": 64, "height": 64, "x": 0, "y": 160},
     [torch.zeros(1, 4, 8, 8)])
narrow = torch.randn(1, 4, 20, 6)
case("LatentCrop", {"samples": narrow}, {"width": 64, "height": 64, "x": 0, "y": 0}, [narrow[:, :, 0:8, -2:6]])
mask1 = image(1, 4, 4)
case("LatentMultiply", {"samples": q, "samples.noise_mask": mask1}, {"multiplier": -2.0, "samples.batch_index": [5]},
     [{"samples": q * -2, "noise_mask": mask1, "batch_index": [5]}])
case("LatentBatch", {"samples1": p, "samples2": torch.zeros(1, 4, 3, 4)}, {"samples1.batch_index": [4, 9]},
     [{"samples": torch.cat([p, torch.zeros(1, 4, 6, 8)]), "batch_index": [4, 9, 0]}])
case("BatchLatentsNode", {"latents.latent0": q, "latents.latent1": p, "latents.latent2": q},
     out=[{"samples": torch.cat([q, p, q]), "batch_index": [0, 0, 1, 0]}])
case("LatentBatchSeedBehavior", {"samples": p}, {"seed_behavior": "fixed", "samples.batch_index": [3, 4]},
     [{"samples": p, "batch_index": [3, 3]}])
case("LatentBatchSeedBehavior", {"samples": p}, {"seed_behavior": "fixed"}, [{"samples": p, "batch_index": [0, 0]}])
case("LatentBatchSeedBehavior", {"samples": p}, {"seed_behavior": "random", "samples.batch_index": [3, 4]},
     [{"samples": p, "batch_index": None}])
case("LatentAdd", {"samples1": p, "samples2": torch.randn(1, 3, 6, 8)}, error=True)
case("LatentComposite", {"samples_to": p, "samples_from": q}, {"x": 800, "y": 0, "feather": 0}, error=True)


def composite(to, src, x, y, feather):
    s = to.clone()
    src = src[:, :, :to.shape[2] - y, :to.shape[3] - x]
    m = torch.ones_like(src)
    for t in range(feather):
        k = (1.0 / feather) * (t + 1)
        if y:
            m[:, :, t:1 + t] *= k
        if y + src.shape[2] < to.shape[2]:
            m[:, :, m.shape[2] - 1 - t:m.shape[2] - t] *= k
        if x:
            m[:, :, :, t:1 + t] *= k
        if x + src.shape[3] < to.shape[3]:
            m[:, :, :, m.shape[3] - 1 - t:m.shape[3] - t] *= k
    area = s[:, :, y:y + src.shape[2], x:x + src.shape[3]]
    s[:, :, y:y + src.shape[2], x:x + src.shape[3]] = src * m + area * (1 - m)
    return s


patch = torch.randn(2, 4, 3, 3)
for cx, cy, fe in ((2, 1, 2), (2, 1, 5), (0, 0, 2), (6, 4, 3)):
    case("LatentComposite", {"samples_to": p, "samples_from": patch}, {"x": cx * 8, "y": cy * 8, "feather": fe * 8},
         [composite(p, patch, cx, cy, fe)])
l = [torch.randn(3, 4, 2, 2), torch.randn(2, 4, 2, 2), torch.randn(1, 4, 3, 2)]
al = torch.cat(l[:2])
half = image(1, 16, 16)
case("RebatchLatents", {"latents": l}, {"batch_size": 2},
     [{"samples": al[0:2], "batch_index": [0, 1]}, {"samples": al[2:4], "batch_index": [2, 3]},
      {"samples": al[4:5], "batch_index": [4]}, {"samples": l[2], "batch_index": [5]}])
case("RebatchLatents", {"latents": [l[0]], "latents.noise_mask": half}, {"batch_size": 2},
     [{"samples": l[0][:2], "noise_mask": half.repeat(2, 1, 1), "batch_index": [0, 1]},
      {"samples": l[0][2:], "noise_mask": half, "batch_index": [2]}])

# ---- operations on latents, schedules, guidance -------------------------------------------------------------
def tonemap(x, k):
    m = (torch.linalg.vector_norm(x, dim=1) + 1e-10)[:, None]
    mean, std = m.mean((1, 2, 3), keepdim=True), m.std((1, 2, 3), keepdim=True)
    top = (std * 5 + mean) * k
    return x / m * ((m / top) / (m / top + 1) * top)


def sharpen_directions(x, r, sigma, alpha):
    lum = (torch.linalg.vector_norm(x, dim=1) + 1e-6)[:, None]
    g = torch.linspace(-1, 1, 2 * r + 1)
    d = torch.sqrt(g[:, None] ** 2 + g[None] ** 2)
    kernel = torch.exp(-(d * d) / (2 * sigma * sigma))
    kernel = kernel / kernel.sum() * alpha * -10
    kernel[r, r] += 1 - kernel.sum()
    y = F.pad(x / lum, (r, r, r, r), "reflect")
    return lum * F.conv2d(y, kernel.repeat(x.shape[1], 1, 1)[:, None], groups=x.shape[1])


for k in (1.0, 0.3):
    case("LatentApplyOperation", {"samples": p, "operation": {"op": "LatentOperationTonemapReinhard",
                                                              "params": {"multiplier": k}}}, out=[tonemap(p, k)], tolerance=1e-5)
case("LatentApplyOperation", {"samples": p, "operation": {"op": "LatentOperationSharpen", "params": {
    "sharpen_radius": 3, "sigma": 1.0, "alpha": 0.1}}}, out=[sharpen_directions(p, 3, 1.0, 0.1)], tolerance=2e-5)
case("LatentApplyOperation", {"samples": p, "operation": {"op": "LatentOperationSharpen", "params": {
    "sharpen_radius": 9, "sigma": 1.0, "alpha": 0.1}}}, error=True)
case("ManualSigmas", {}, {"sigmas": "1., 0.75;.5 -0.25 1e"}, [torch.tensor([1, 0.75, 0.5, -0.25, 1])])
case("ManualSigmas", {}, {"sigmas": "1..5"}, error=True)
levels = torch.tensor([1.0, 0.5, 0.0])
case("SetFirstSigma", {"sigmas": levels}, {"sigma": 0.9}, [torch.tensor([0.9, 0.5, 0.0])])
case("ExtendIntermediateSigmas", {"sigmas": levels}, {"steps": 2, "start_at_sigma": -1.0, "end_at_sigma": 0.6, "spacing": "linear"},
     [torch.tensor([1.0, 0.75, 0.5, 0.0])])
case("KarrasScheduler", {}, {"steps": 3, "sigma_max": 8.0, "sigma_min": 1.0, "rho": 1.0}, [torch.tensor([8, 4.5, 1, 0])])
case("ExponentialScheduler", {}, {"steps": 3, "sigma_max": 4.0, "sigma_min": 1.0}, [torch.tensor([4.0, 2.0, 1.0, 0.0])])
case("PolyexponentialScheduler", {}, {"steps": 3, "sigma_max": 4.0, "sigma_min": 1.0, "rho": 1.0}, [torch.tensor([4.0, 2.0, 1.0, 0.0])])
t = torch.linspace(1, 0.5, 3)
case("VPScheduler", {}, {"steps": 3, "beta_d": 2.0, "beta_min": 0.1, "eps_s": 0.5},
     [torch.cat([torch.sqrt(torch.special.expm1(2.0 * t ** 2 / 2 + 0.1 * t)), torch.zeros(1)])])
z = torch.linspace(0, 1, 3)
lap = torch.exp(0.0 - 0.5 * torch.sign(0.5 - z) * torch.log(1 - 2 * (0.5 - z).abs() + 1e-5)).clamp(0.1, 5.0)
case("LaplaceScheduler", {}, {"steps": 3, "sigma_max": 5.0, "sigma_min": 0.1, "mu": 0.0, "beta": 0.5}, [lap], tolerance=1e-5)

HOOKS = []
X, P, U = (torch.randn(2, 4, 3, 5) for _ in range(3))


def hook(name, out, a=0.0, b=0.0, sigma=0.5, scale=4.0, P=P, U=U):
    HOOKS.append({"hook": name, "a": a, "b": b, "sigma": sigma, "scale": scale, "x": put(X), "cond": put(P), "uncond": put(U),
                  "out": put(out)})


cfg = U + 4 * (P - U)
norm = lambda v: torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True)
hook("RenormCFG", torch.where(norm(cfg) >= norm(P), cfg * norm(P) / norm(cfg), cfg), 100.0, 1.0)
hook("RenormCFG", cfg, 100.0, 0.0)
hook("RenormCFG", P, 0.4, 1.0)
frame = torch.linspace(1.5, 4, 2)[:, None, None, None]
hook("frames", U + frame * (P - U), 1.5)
hook("frames", U + 1.5 * (P - U), 1.5, 1.0)
su, sp = (X - U).reshape(2, 1, -1), (X - P).reshape(2, 1, -1)
v1 = torch.linalg.svd(torch.cat((su, sp), 1).double(), full_matrices=False)[2][:, :1].float()
ud = X - ((su @ v1.mT) * v1).reshape_as(X)
hook("TCFG", ud + 4 * (P - ud))
root = lambda v: v.abs().sqrt() * v.sign()
sim = 2 * (F.cosine_similarity(root(U * 4), root((P * 4 + cfg) / 2)).mean() + 1)
hook("Mahiro", (sim * cfg + (4 - sim) * P * 4) / 4)
hook("epsilon", X - (X - cfg) / 1.1, 1.1)
snr = (0.7 / 0.3) ** 2
r = (snr * 0.25 + 1) / (snr * 0.25 / 0.9 + 1)
hook("TSR", torch.lerp(X / 0.7, cfg, r), 0.9, 0.5, sigma=0.3)
hook("TSR", cfg, 0.9, 0.5, sigma=1.0)
hook("TSR", cfg, 1.0, 0.5)

# ---- KJNodes --------------------------------------------------------------------------------------------------
case("INTConstant", {}, {"value": -7}, [-7])
case("FloatConstant", {}, {"value": 0.25}, [0.25])
case("BOOLConstant", {}, {"value": False}, [False])
case("StringConstant", {}, {"string": "a b"}, ["a b"])
case("JoinStrings", {}, {"string1": "a", "string2": "", "delimiter": "-"}, ["a-"])
case("GetImageSizeAndCount", {"image": x}, out=[x, 7, 5, 2])
case("GetMaskSizeAndCount", {"mask": mask}, out=[mask, 7, 5, 2])
case("ReverseImageBatch", {"images": x}, out=[x.flip(0)])
case("ImageNormalize_Neg1_To_1", {"images": x}, out=[x * 2 - 1])
case("RoundMask", {"mask": mask}, out=[mask.round()])
case("ImagePass", {"image": x}, out=[x])

# ---- texts ---------------------------------------------------------------------------------------------
WORDS = ["", "a", "Hello, World", "stra\u00dfe \ufb01n d'\u00e9t\u00e9 they're", "\u1f88\u0149\u0390 \u01c6 \u01c5",
         "\u039f\u0394\u039f\u03a3 \u03a3 \u03a3\u03b1", "\u0130stanbul I\u0131", "\u65e5\u672c\u8a9e text",
         " \t\u3000x y\n\u00a0 ", "\u2160\u2171 \u24d0bc \u02b0a", "\ud83d\ude00 emoji".encode("utf-16", "surrogatepass").decode("utf-16")]
for w in WORDS:
    case("StringLength", {}, {"string": w}, [len(w)])
    for mode, fn in (("UPPERCASE", str.upper), ("lowercase", str.lower), ("Capitalize", str.capitalize),
                     ("Title Case", str.title)):
        case("CaseConverter", {}, {"string": w, "mode": mode}, [fn(w)])
    for mode, fn in (("Both", str.strip), ("Left", str.lstrip), ("Right", str.rstrip)):
        case("StringTrim", {}, {"string": w, "mode": mode}, [fn(w)])
    for find, new in (("", "-"), ("l", "LL"), ("aa", "b"), ("\u65e5", "")):
        case("StringReplace", {}, {"string": w, "find": find, "replace": new}, [w.replace(find, new)])
for start, end in ((0, 5), (-5, -1), (3, 1), (2, 100), (-100, 3), (0, 0)):
    case("StringSubstring", {}, {"string": WORDS[3], "start": start, "end": end}, [WORDS[3][start:end]])
for w1, w2 in (("Hello", "hell"), ("Hello", "LLO"), ("Hello", "hello"), ("a", ""), ("", "a"), ("\u03a3", "\u03c3")):
    for flag in (True, False):
        l1, l2 = (w1, w2) if flag else (w1.lower(), w2.lower())
        case("StringContains", {}, {"string": w1, "substring": w2, "case_sensitive": flag}, [l2 in l1])
        for mode, want in (("Equal", l1 == l2), ("Starts With", l1.startswith(l2)), ("Ends With", l1.endswith(l2))):
            case("StringCompare", {}, {"string_a": w1, "string_b": w2, "mode": mode, "case_sensitive": flag}, [want])

PATTERNS = [r"a", r"", r"(\d+)-(\d+)", r"\bcat\b", r"^\w+", r"\w+$", r"(?P<k>\w+)=(?P<v>\w*)", r"(a|ab)(c|bcd)", r"a{2,3}?", r"a{,2}b",
            r"[^\W\d_]+", r"(?:ab)+", r"(a*)*", r"(a*)+b", r"x*", r"(?<=\$)\d+", r"(?<!a)b", r"a(?!b)", r"(?=(a+))a*b\1",
            r"(\w)\1", r"[\]\-a]", r"[]a]", r"[a-]", r".+?,", r"a.c", r"\x41\u00e9", r"(?i)HELLO", r"(?s:a.b)", r"(?i:h)ello",
            r"(a)|b", r"(a)?b", r"((a)|b)*", r"\Aa|c\Z", r"\Bb", r"[\d\s]+", r"\101", r"(?#note)a", r"(?:)", r"a||b", r"(|a)+",
            r"[A-Z][a-z]+(?: [A-Z][a-z]+)*", r"(?m)^b", r"\$\{(\w+)\}", r"\t|\n", r"(?P<q>['\"]).*?(?P=q)", r"(ab){2}", r"a{0}b",
            r"(a|b|c){2,}", r"\w+@\w+\.\w+", r"{", r"a{x", r"[[]", r"(?<=ab|cd)e", r"(?<=(a))b", r"(a)(?=.*\1)", r"\s*,\s*"]
TEXTS = ["", "aab abcd", "12-34 and 56-78", "the cat sat", "key=val other= x", "Hello World, Foo Bar", "a\nb\nc", "$100 a1 \u00e9A\u00e9",
         "aaaa b bb cc", "'it' \"is\" ${name}", "abab cde abe x@y.z", "HELLO hello\t{a{x[", "\u65e5\u672c\u8a9e \u00c9t\u00e9"]


def findings(mode, pattern, text, flags, group):
    try:
        if mode == "First Match":
            m = re.search(pattern, text, flags)
            return m.group(0) if m else ""
        if mode == "All Matches":
            found = re.findall(pattern, text, flags)
            return "\n".join(f[0] if isinstance(f, tuple) else f for f in found)
        if mode == "First Group":
            m = re.search(pattern, text, flags)
            return (m.group(group) or "") if m and len(m.groups()) >= group else ""
        return "\n".join(m.group(group) or "" for m in re.finditer(pattern, text, flags)
                         if m.groups() and len(m.groups()) >= group)
    except re.error:
        return ""


def regex_cases(pattern, text, flags, group, count, template):
    fl = {"case_insensitive": bool(flags & re.I), "multiline": bool(flags & re.M), "dotall": bool(flags & re.S)}
    base = dict(string=text, regex_pattern=pattern, **fl)
    try:
        case("RegexMatch", {}, dict(base), [re.search(pattern, text, flags) is not None])
    except re.error:
        case("RegexMatch", {}, dict(base), [False])
    mode = ("First Match", "All Matches", "First Group", "All Groups")[rng.randrange(4)]
    case("RegexExtract", {}, dict(base, mode=mode, group_index=group), [findings(mode, pattern, text, flags, group)])
    try:
        case("RegexReplace", {}, dict(base, replace=template, count=count), [re.sub(pattern, template, text, count=count, flags=flags)])
    except (re.error, IndexError):
        case("RegexReplace", {}, dict(base, replace=template, count=count), error=True)


rng = random.Random(3)
for k, pattern in enumerate(PATTERNS):
    for text in rng.sample(TEXTS, 2):
        flags = rng.choice((0, re.I, re.M, re.S, re.I | re.M))
        regex_cases(pattern, text, flags, rng.randrange(3), rng.choice((0, 0, 1, 2)),
                    rng.choice(("-", r"[\g<0>]", r"\1", r"\g<1>x", r"a\n\\", "")))
for pattern in ("(", ")", "a**", "[z-a]", "*a", "\\", "(?P<n", r"\1", "a{2,1}", "(?<=a*)b", "^*", r"\q", "(?P<a>x)(?P<a>y)", "[a", "a{2}{3}"):
    regex_cases(pattern, "aab", 0, 0, 0, "-")
for pattern in ("(?x)a", "(?>a)b", "a++", "(?(1)a|b)", r"\N{DIGIT ONE}"):
    case("RegexMatch", {}, {"string": "a", "regex_pattern": pattern, "case_insensitive": True, "multiline": False, "dotall": False},
         error=True)
case("RegexReplace", {}, {"string": "a" * 40, "regex_pattern": "(a|aa)+$b", "replace": "", "case_insensitive": False,
                          "multiline": False, "dotall": False, "count": 0}, error=True)
pieces = ["a", "b", "(a)", "(?:b)", "(a|b)", ".", "[ab]", "(?:a|)", r"\b", "(?=a)", "(?!b)", r"\w"]
for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 40):
    pattern = "".join(rng.choice(pieces) + rng.choice(("", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}")) for _ in range(rng.randrange(1, 5)))
    text = "".join(rng.choice("aab c") for _ in range(rng.randrange(8)))
    regex_cases(pattern, text, 0, rng.randrange(2), 0, "<\\g<0>>")

with open(sys.argv[1] + "/cases.json", "w") as out:
    json.dump({"cases": CASES, "hooks": HOOKS}, out, separators=(",", ":"))
save_file(T, sys.argv[1] + "/cases.safetensors")
