#!/usr/bin/env python3
"""The peer of `weft bench` on the CPU: diffusers and transformers in bf16, random weights, one JSON line.

usage: torch_peer.py step|encoder|vae [THREADS]
Needs torch, diffusers, transformers. `step` times 1 double + 2 single blocks of klein 4B at 512x512 with 512 text
tokens and adds up 5 + 20; `encoder` times 4 layers of Qwen3-4B at 512 tokens and adds up 27; `vae` decodes 512x512.
"""
import json
import sys
import time

import torch

torch.set_grad_enabled(False)


def best(work, repeats=3):
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def timed_blocks(blocks):
    """Seconds spent in each block of the last call, by hooks."""
    spent = {}
    for i, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda *_, i=i: spent.__setitem__(i, -time.perf_counter()))
        block.register_forward_hook(lambda *_, i=i: spent.__setitem__(i, spent[i] + time.perf_counter()))
    return spent


def step():
    from diffusers import Flux2Transformer2DModel
    model = Flux2Transformer2DModel(num_layers=1, num_single_layers=2, num_attention_heads=24, attention_head_dim=128,
                                    joint_attention_dim=7680, guidance_embeds=False).to(torch.bfloat16).eval()
    double, single = timed_blocks(model.transformer_blocks), timed_blocks(model.single_transformer_blocks)
    x, text = torch.randn(1, 1024, 128).bfloat16(), torch.randn(1, 512, 7680).bfloat16()
    ids = torch.zeros(1024, 4)
    ids[:, 1], ids[:, 2] = torch.arange(1024) // 32, torch.arange(1024) % 32
    text_ids = torch.zeros(512, 4)
    text_ids[:, 3] = torch.arange(512)
    whole = best(lambda: model(hidden_states=x, encoder_hidden_states=text, timestep=torch.tensor([0.7]).bfloat16(),
                               img_ids=ids, txt_ids=text_ids, guidance=None, return_dict=False))
    rest = whole - double[0] - single[0] - single[1]
    return max(rest, 0) + 5 * double[0] + 10 * (single[0] + single[1])


def encoder():
    from transformers import Qwen3Config, Qwen3Model
    model = Qwen3Model(Qwen3Config(hidden_size=2560, intermediate_size=9728, num_hidden_layers=4, num_attention_heads=32,
                                   num_key_value_heads=8, head_dim=128)).to(torch.bfloat16).eval()
    ids = torch.arange(512)[None]
    return best(lambda: model(ids, use_cache=False)) / 4 * 27


def vae():
    from diffusers import AutoencoderKLFlux2
    model = AutoencoderKLFlux2().to(torch.bfloat16).eval()
    latent = torch.randn(1, 32, 64, 64).bfloat16()
    return best(lambda: model.decode(latent))


if __name__ == "__main__":
    what = sys.argv[1]
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    seconds = {"step": step, "encoder": encoder, "vae": vae}[what]()
    print(json.dumps({"peer": "torch " + torch.__version__, "bench": what, "seconds": round(seconds, 3)}))
