"""export.py - the newest checkpoints as bf16 and FP8 safetensors in ComfyUI's naming, and back again."""
import os
import shutil

import torch

import common
import data
import model as models
import tokens
from train_flow import DEPTH, TEXT, Both
from vae import VAE

FLUX, QWEN, AUTO = "diffusion_models/weft-mini.safetensors", "text_encoders/weft-mini-qwen3", "vae/weft-mini-vae.safetensors"


def bf16(state):
    return {k: v.to(torch.bfloat16) for k, v in state.items()}


def fp8(state):
    """The matrices of the blocks as scaled FP8 (one scale each, with its record), the rest bf16."""
    out, record = {}, torch.frombuffer(bytearray(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    for name, w in state.items():
        if w.dim() != 2 or "_blocks." not in name:
            out[name] = w.to(torch.bfloat16)
            continue
        scale = w.abs().max() / 448
        out[name] = (w / scale).to(torch.float8_e4m3fn)
        out[name + "_scale"] = scale.float().reshape(())
        out[name[:-len("weight")] + "comfy_quant"] = record
    return out


def plain(tensors):
    """float32 matrices of a file that fp8 or bf16 wrote."""
    return {k: v.float() * tensors.get(k + "_scale", 1) for k, v in tensors.items()
            if not k.endswith(("_scale", ".comfy_quant"))}


def newest(work, names=("corrected.pt", "distilled.pt", "flow.pt")):
    """The most finished flow checkpoint."""
    for name in names:
        if os.path.exists(work + "/" + name):
            return name
    raise SystemExit("no flow checkpoint in " + work)


def write(work, folder, name=None):
    import train_vae
    tok = data.tokenizer(work)
    both = Both(tok.size, tok.pad)
    name = name or newest(work)
    state = common.load_checkpoint(work + "/" + name)
    both.load_state_dict(state["average"])
    common.say("export: %s at step %d" % (name, state["step"]))
    common.write_safetensors(folder + "/" + FLUX, fp8(both.flux.state_dict()),
                             {"format": "pt", "weft.context_length": str(tokens.LENGTH)})
    common.write_safetensors(folder + "/" + QWEN + ".safetensors", bf16(both.text.state_dict()),
                             {"format": "pt", "weft.template": tokens.TEMPLATE, "weft.min_length": str(tokens.LENGTH),
                              "weft.layers": ",".join(str(i) for i in TEXT["taps"]), "weft.pad_id": str(tok.pad)})
    shutil.copyfile(work + "/tokenizer.json", folder + "/" + QWEN + ".tokenizer.json")
    common.write_safetensors(folder + "/" + AUTO, bf16(train_vae.load(work).state_dict()), {"format": "pt"})
    size = sum(os.path.getsize(folder + "/" + f) for f in (FLUX, QWEN + ".safetensors", QWEN + ".tokenizer.json", AUTO))
    common.say("export: %.2f MiB" % (size / 2 ** 20))


def load(folder):
    """(text encoder, transformer, autoencoder, tokenizer) from exported files; as float32."""
    if not os.path.exists(folder + "/" + FLUX):
        raise SystemExit("no model in %s: train one first (graphs/mini/README.md)" % folder)
    tok = tokens.load(folder + "/" + QWEN + ".tokenizer.json")
    text = models.TextEncoder(tok.size, tok.pad, **TEXT)
    flux = models.Flux2(TEXT["hidden"] * len(TEXT["taps"]), **DEPTH)
    auto = VAE()
    for module, path in ((text, QWEN + ".safetensors"), (flux, FLUX), (auto, AUTO)):
        tensors, _ = common.read_safetensors(folder + "/" + path)
        module.load_state_dict(plain(tensors))
        module.eval()
    return text, flux, auto, tok


def take(work, folder):
    """The exported files as checkpoints (weights only), so that `correct`, `export` and `lora` can go on from them."""
    text, flux, auto, tok = load(folder)
    both = Both(tok.size, tok.pad)
    both.text, both.flux = text, flux
    shutil.copyfile(folder + "/" + QWEN + ".tokenizer.json", work + "/tokenizer.json")
    common.save_checkpoint(work + "/distilled.pt", {"average": both.state_dict(), "step": 0})
    common.save_checkpoint(work + "/vae.pt", {"average": auto.decoder.state_dict(), "step": 0})


def psnr(auto, count=24, size=256):
    """Mean PSNR in dB of encode and decode over fresh pictures."""
    import train_vae
    total = []
    with torch.no_grad():
        for image in train_vae.pictures(14, count, size):
            got = common.to_bytes(auto.decode(auto.encode(common.to_float(image[None]))))[0]
            error = ((got.astype(float) - image) ** 2).mean()
            total.append(-10 * torch.log10(torch.tensor(max(error, 1e-9) / 255 ** 2)).item())
    return sum(total) / len(total)
