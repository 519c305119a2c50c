"""vae.py - the FLUX.2 autoencoder layout in small: convolutional encoder/decoder and 2x2 packing.

Names of the modules are the tensor names of the published file, so `state_dict()` is what export writes. The encoder is not
trained: `write_encoder` puts the linear map of latent.py into its convolutions. Three channels per normalisation group at
full resolution (96) let a picture's mean colour survive the last GroupNorm, which two would not.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

BASE, MULT, Z, EPS = 32, (3, 2, 2, 3), 32, 1e-4


def norm(c):
    return nn.GroupNorm(32, c, eps=1e-6)


class Res(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.norm1, self.conv1 = norm(a), nn.Conv2d(a, b, 3, padding=1)
        self.norm2, self.conv2 = norm(b), nn.Conv2d(b, b, 3, padding=1)
        if a != b:
            self.nin_shortcut = nn.Conv2d(a, b, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class Attn(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = norm(c)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        b, c, hh, ww = x.shape
        q, k, v = (f(h).reshape(b, 1, c, hh * ww).transpose(2, 3) for f in (self.q, self.k, self.v))
        o = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous())
        return x + self.proj_out(o.transpose(2, 3).reshape(b, c, hh, ww))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    pass


def middle(c):
    mid = Level()
    mid.block_1, mid.attn_1, mid.block_2 = Res(c, c), Attn(c), Res(c, c)
    return mid


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(3, BASE, 3, padding=1)
        self.down = nn.ModuleList()
        c = BASE
        for i, m in enumerate(MULT):
            level = Level()
            level.block = nn.ModuleList()
            for _ in range(2):
                level.block.append(Res(c, BASE * m))
                c = BASE * m
            if i < len(MULT) - 1:
                level.downsample = Down(c)
            self.down.append(level)
        self.mid = middle(c)
        self.norm_out, self.conv_out = norm(c), nn.Conv2d(c, 2 * Z, 3, padding=1)
        self.quant_conv = nn.Conv2d(2 * Z, 2 * Z, 1)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            for b in level.block:
                h = b(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h)))
        return self.quant_conv(self.conv_out(F.silu(self.norm_out(h))))[:, :Z]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.post_quant_conv = nn.Conv2d(Z, Z, 1)
        c = BASE * MULT[-1]
        self.conv_in = nn.Conv2d(Z, c, 3, padding=1)
        self.mid = middle(c)
        ups = []
        for i in reversed(range(len(MULT))):
            level = Level()
            level.block = nn.ModuleList()
            for _ in range(3):
                level.block.append(Res(c, BASE * MULT[i]))
                c = BASE * MULT[i]
            if i > 0:
                level.upsample = Up(c)
            ups.insert(0, level)
        self.up = nn.ModuleList(ups)
        self.norm_out, self.conv_out = norm(c), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, z):
        h = self.conv_in(self.post_quant_conv(z))
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h)))
        for level in reversed(self.up):
            for b in level.block:
                h = b(h)
            if hasattr(level, "upsample"):
                h = level.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Stats(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(4 * Z))
        self.register_buffer("running_var", torch.ones(4 * Z))


@torch.no_grad()
def start_decoder(decoder, basis, strength=8.0):
    """Before training the decoder already paints each 8x8 patch in its mean colour: three channels carry red, green and
    blue past residual branches that start at zero, and pass the last GroupNorm as (c, -c, strength) groups."""
    for m in decoder.modules():
        if isinstance(m, Res):
            nn.init.zeros_(m.conv2.weight)
        if isinstance(m, Attn):
            nn.init.zeros_(m.proj_out.weight)
    colour = (basis.rows / basis.gain[:, None]).reshape(Z, 64, 3).mean(1).T
    decoder.post_quant_conv.weight[:] = torch.eye(Z)[:, :, None, None]
    decoder.post_quant_conv.bias.zero_()
    decoder.conv_in.weight[:3] = 0
    decoder.conv_in.weight[:3, :, 1, 1] = colour
    decoder.conv_in.bias[:3] = basis.mean.reshape(64, 3).mean(0)
    passing = [(decoder.up[i].upsample.conv, 1) for i in (1, 2, 3)] + [(decoder.up[2].block[0].nin_shortcut, 0)]
    for conv, middle_tap in passing:
        conv.weight[:3] = 0
        conv.bias[:3] = 0
        for c in range(3):
            conv.weight[c, c, middle_tap, middle_tap] = 1
    last, dev = decoder.up[0].block[0].nin_shortcut, strength * (2 / 9) ** .5
    last.weight[:9] = 0
    last.bias.copy_(torch.tensor([0.0, 2.0, -2.0]).repeat(len(last.bias) // 3))
    last.bias[:9] = torch.tensor([0.0, 0.0, strength]).repeat(3)
    decoder.norm_out.bias[:9] = strength / 3 / dev
    decoder.conv_out.weight.mul_(.1)
    decoder.conv_out.weight[:, :9] = 0
    decoder.conv_out.bias.zero_()
    for c in range(3):
        last.weight[3 * c, c], last.weight[3 * c + 1, c] = 1, -1
        decoder.conv_out.weight[c, 3 * c, 1, 1], decoder.conv_out.weight[c, 3 * c + 1, 1, 1] = dev, -dev


@torch.no_grad()
def write_encoder(encoder, basis, strength=60.0):
    """The linear map basis.encode as convolutions: pixels are gathered 2x2 three times, the last gathering projects.

    Before the last GroupNorm every group holds (z, -z, strength): its mean is strength/3 and its deviation nearly constant,
    so the norm only scales; and silu(a) - silu(-a) = a undoes the silu. Error below half a percent.
    """
    for p in encoder.parameters():
        p.zero_()
    for m in encoder.modules():
        if isinstance(m, nn.GroupNorm):
            m.weight.fill_(1)
    down = encoder.down
    for c in range(3):
        encoder.conv_in.weight[c, c, 1, 1] = 1
        down[0].block[0].nin_shortcut.weight[c, c] = 1
    taps = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for i, (y, x) in enumerate(taps):
        for c in range(3):
            down[0].downsample.conv.weight[i * 3 + c, c, y, x] = 1
        for k in range(12):
            down[1].downsample.conv.weight[i * 12 + k, k, y, x] = 1
    for k in range(12):
        down[1].block[0].nin_shortcut.weight[k, k] = 1
    rows = (basis.rows * basis.gain[:, None]).reshape(Z, 8, 8, 3)
    for y, x in taps:
        for i, (y1, x1) in enumerate(taps):
            for j, (y0, x0) in enumerate(taps):
                part = rows[:, y * 4 + y1 * 2 + y0, x * 4 + x1 * 2 + x0]
                down[2].downsample.conv.weight[:Z, i * 12 + j * 3:i * 12 + j * 3 + 3, y, x] = part
    down[2].downsample.conv.bias[:Z] = -(rows.reshape(Z, 192) @ basis.mean)
    last, dev = down[3].block[0].nin_shortcut, strength * (2 / 9) ** .5
    for i in range(Z):
        last.weight[3 * i, i], last.weight[3 * i + 1, i] = 1, -1
        last.bias[3 * i + 2] = strength
        encoder.conv_out.weight[i, 3 * i, 1, 1], encoder.conv_out.weight[i, 3 * i + 1, 1, 1] = dev, -dev
    encoder.norm_out.bias.fill_(strength / 3 / dev)
    for i in range(2 * Z):
        encoder.quant_conv.weight[i, i] = 1


class VAE(nn.Module):
    """encode: pictures [B,3,H,W] in -1..1 -> [B,128,H/16,W/16]; decode: back."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.bn = Encoder(), Decoder(), Stats()

    def encode(self, x):
        z = F.pixel_unshuffle(self.encoder(x).float(), 2)
        mean, var = self.bn.running_mean, self.bn.running_var
        return (z - mean[:, None, None]) / torch.sqrt(var[:, None, None] + EPS)

    def decode(self, z):
        mean, var = self.bn.running_mean, self.bn.running_var
        z = z * torch.sqrt(var[:, None, None] + EPS) + mean[:, None, None]
        return self.decoder(F.pixel_shuffle(z, 2)).float()
