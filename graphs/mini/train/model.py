"""model.py - the FLUX.2 transformer and the Qwen3-architecture text encoder, in the dims of the small model.

Parameter names are the tensor names of the published files. Both run under bf16 autocast when trained.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

HEAD = 128


def linear(a, b):
    return nn.Linear(a, b, bias=False)


# ---------------------------------------------------------------- text encoder

def rms(x, w, eps=1e-6):
    return F.rms_norm(x, (x.shape[-1],), w.to(x.dtype), eps)


class Norm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return rms(x, self.weight)


class TextAttention(nn.Module):
    def __init__(self, hidden, heads, kv, dim):
        super().__init__()
        self.q_proj, self.o_proj = linear(hidden, heads * dim), linear(heads * dim, hidden)
        self.k_proj, self.v_proj = linear(hidden, kv * dim), linear(hidden, kv * dim)
        self.q_norm, self.k_norm, self.dim = Norm(dim), Norm(dim), dim

    def forward(self, x, cos, sin, mask):
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, -1, self.dim).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.q_norm(q), self.k_norm(k)
        half = self.dim // 2

        def turn(y):
            return y * cos + torch.cat((-y[..., half:], y[..., :half]), -1) * sin

        q, k = turn(q), turn(k)
        r = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(r, 1), v.repeat_interleave(r, 1)
        p = torch.matmul(q * self.dim ** -.5, k.transpose(-1, -2)).float().masked_fill(~mask, float("-inf")).softmax(-1)
        o = torch.matmul(p.to(v.dtype), v)
        return self.o_proj(o.transpose(1, 2).reshape(b, t, -1))


class TextMlp(nn.Module):
    def __init__(self, hidden, wide):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(hidden, wide), linear(hidden, wide), linear(wide, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextLayer(nn.Module):
    def __init__(self, hidden, heads, kv, dim, wide):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(hidden), Norm(hidden)
        self.self_attn, self.mlp = TextAttention(hidden, heads, kv, dim), TextMlp(hidden, wide)

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Stem(nn.Module):
    pass


class TextEncoder(nn.Module):
    """ids [B,T] -> context [B,T,len(taps)*hidden]: the residual stream after taps[i] blocks (the last one normed)."""

    def __init__(self, vocab, pad, hidden=128, layers=4, heads=4, kv=2, dim=64, wide=384, taps=(2, 3, 4)):
        super().__init__()
        self.model = Stem()
        self.model.embed_tokens = nn.Embedding(vocab, hidden)
        self.model.layers = nn.ModuleList(TextLayer(hidden, heads, kv, dim, wide) for _ in range(layers))
        self.model.norm = Norm(hidden)
        self.pad, self.taps, self.dim = pad, taps, dim
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=.05)
        nn.init.normal_(self.model.embed_tokens.weight, std=.5)

    def forward(self, ids):
        b, t = ids.shape
        x = self.model.embed_tokens(ids)
        inv = 1e6 ** (-torch.arange(0, self.dim, 2, dtype=torch.float32) / self.dim)
        angle = torch.arange(t, dtype=torch.float32)[:, None] * torch.cat((inv, inv))[None]
        pads = (ids == self.pad).cumsum(1) > 0
        mask = torch.ones(t, t, dtype=torch.bool).tril()[None, None] & ~pads[:, None, None, :]
        cos, sin = angle.cos(), angle.sin()
        out = []
        for i, layer in enumerate(self.model.layers):
            x = layer(x, cos, sin, mask)
            if i + 1 in self.taps:
                out.append(self.model.norm(x) if i + 1 == len(self.model.layers) else x)
        return torch.cat([o.float() for o in out], -1)


# ---------------------------------------------------------------- transformer

def rope(ids, theta=2000.0, axes=(32, 32, 32, 32)):
    """Position ids [T,4] -> cos, sin [T,64]."""
    parts = [ids[:, a, None].double() * theta ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
             for a, n in enumerate(axes)]
    angle = torch.cat(parts, 1)
    return angle.cos().float(), angle.sin().float()


def text_ids(t):
    return torch.cat((torch.zeros(t, 3), torch.arange(t).float()[:, None]), 1)


def grid_ids(h, w, frame=0):
    r, c = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    z = torch.zeros(h * w)
    return torch.stack((z + 10 * frame, r.reshape(-1).float(), c.reshape(-1).float(), z), 1)


def turn(x, cos, sin):
    """Rotate adjacent pairs; x [B,H,T,128]."""
    y = x.unflatten(-1, (64, 2))
    a, b = y[..., 0], y[..., 1]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def time_features(t):
    f = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
    angle = 1000.0 * t.float()[:, None] * f
    return torch.cat((angle.cos(), angle.sin()), 1)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(HEAD))


class QKNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_norm, self.key_norm = Scale(), Scale()


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.qkv, self.norm, self.proj = linear(d, 3 * d), QKNorm(), linear(d, d)


def heads(qkv, norm):
    """[B,T,3D] -> q, k (normed), v as [B,H,T,128]."""
    q, k, v = qkv.unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
    return rms(q, norm.query_norm.scale), rms(k, norm.key_norm.scale), v


def attend(q, k, v):
    """Plain softmax attention; for a few hundred tokens faster to train on a CPU than the fused one."""
    p = torch.matmul(q * HEAD ** -.5, k.transpose(-1, -2)).softmax(-1, dtype=torch.float32).to(v.dtype)
    return torch.matmul(p, v)


def shift_scale(x, shift, scale):
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift


def gated(z):
    a, b = z.chunk(2, -1)
    return F.silu(a) * b


class DoubleBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.img_attn, self.txt_attn = Attention(d), Attention(d)
        self.img_mlp = nn.ModuleDict({"0": linear(d, 6 * d), "2": linear(3 * d, d)})
        self.txt_mlp = nn.ModuleDict({"0": linear(d, 6 * d), "2": linear(3 * d, d)})

    def forward(self, img, txt, mi, mt, cos, sin):
        t = txt.shape[1]
        a = heads(self.txt_attn.qkv(shift_scale(txt, mt[0], mt[1])), self.txt_attn.norm)
        b = heads(self.img_attn.qkv(shift_scale(img, mi[0], mi[1])), self.img_attn.norm)
        q, k, v = (torch.cat(p, 2) for p in zip(a, b))
        o = attend(turn(q, cos, sin), turn(k, cos, sin), v).transpose(1, 2).flatten(2)
        txt = txt + mt[2] * self.txt_attn.proj(o[:, :t])
        img = img + mi[2] * self.img_attn.proj(o[:, t:])
        txt = txt + mt[5] * self.txt_mlp["2"](gated(self.txt_mlp["0"](shift_scale(txt, mt[3], mt[4]))))
        img = img + mi[5] * self.img_mlp["2"](gated(self.img_mlp["0"](shift_scale(img, mi[3], mi[4]))))
        return img, txt


class SingleBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.linear1, self.linear2, self.norm, self.d = linear(d, 9 * d), linear(4 * d, d), QKNorm(), d

    def forward(self, x, m, cos, sin):
        qkv, z = self.linear1(shift_scale(x, m[0], m[1])).split((3 * self.d, 6 * self.d), -1)
        q, k, v = heads(qkv, self.norm)
        o = attend(turn(q, cos, sin), turn(k, cos, sin), v)
        return x + m[2] * self.linear2(torch.cat((o.transpose(1, 2).flatten(2), gated(z)), -1))


class Time(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.in_layer, self.out_layer = linear(256, d), linear(d, d)


class Modulation(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.lin = linear(d, n * d)


class Final(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.adaLN_modulation = nn.ModuleDict({"1": linear(d, 2 * d)})
        self.linear = linear(d, 128)


class Flux2(nn.Module):
    """Velocity of the latent [B,128,h,w] at noise level t [B], given context [B,T,C] and reference latents."""

    def __init__(self, context, d=256, double=2, single=5):
        super().__init__()
        self.img_in, self.txt_in, self.time_in = linear(128, d), linear(context, d), Time(d)
        self.double_stream_modulation_img = Modulation(d, 6)
        self.double_stream_modulation_txt = Modulation(d, 6)
        self.single_stream_modulation = Modulation(d, 3)
        self.double_blocks = nn.ModuleList(DoubleBlock(d) for _ in range(double))
        self.single_blocks = nn.ModuleList(SingleBlock(d) for _ in range(single))
        self.final_layer = Final(d)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.xavier_uniform_(p)
            if "modulation" in name or name == "final_layer.linear.weight":
                nn.init.normal_(p, std=.01)
        for m in (self.double_stream_modulation_img, self.double_stream_modulation_txt, self.single_stream_modulation):
            n = m.lin.weight.shape[0] // d
            for i in range(2, n, 3):
                nn.init.normal_(m.lin.weight[i * d:(i + 1) * d], std=.05)
        self.table = {}

    def compile(self):
        """Fuse the element-wise work of the blocks (needs a C++ compiler; one compilation per batch shape)."""
        for block in list(self.double_blocks) + list(self.single_blocks):
            block.forward = torch.compile(block.forward, dynamic=False)

    def positions(self, t, h, w, refs, stretch):
        """stretch: 2 gives a half-size picture the row and column ids of the full-size grid it stands for."""
        key = (t, h, w, stretch) + tuple(refs)
        if key not in self.table:
            grid = grid_ids(h, w)
            grid[:, 1:3] = grid[:, 1:3] * stretch + (stretch - 1) / 2
            parts = [text_ids(t), grid] + [grid_ids(a, b, i + 1) for i, (a, b) in enumerate(refs)]
            self.table[key] = rope(torch.cat(parts))
        return self.table[key]

    def forward(self, x, t, context, refs=(), stretch=1):
        b, _, h, w = x.shape
        tokens = torch.cat([y.flatten(2).transpose(1, 2) for y in (x, *refs)], 1)
        cos, sin = self.positions(context.shape[1], h, w, [tuple(r.shape[2:]) for r in refs], stretch)
        return self.blocks(tokens, time_features(t), context, cos, sin)[:, :h * w].transpose(1, 2).unflatten(2, (h, w))

    def blocks(self, tokens, features, context, cos, sin):
        vec = F.silu(self.time_in.out_layer(F.silu(self.time_in.in_layer(features))))
        mi = self.double_stream_modulation_img.lin(vec)[:, None].chunk(6, -1)
        mt = self.double_stream_modulation_txt.lin(vec)[:, None].chunk(6, -1)
        ms = self.single_stream_modulation.lin(vec)[:, None].chunk(3, -1)
        img, txt = self.img_in(tokens), self.txt_in(context)
        for block in self.double_blocks:
            img, txt = block(img, txt, mi, mt, cos, sin)
        x = torch.cat((txt, img), 1)
        for block in self.single_blocks:
            x = block(x, ms, cos, sin)
        shift, scale = self.final_layer.adaLN_modulation["1"](vec)[:, None].chunk(2, -1)
        return self.final_layer.linear(shift_scale(x[:, context.shape[1]:], shift, scale)).float()
