#!/usr/bin/env python3
"""Makes tests/data/lora/text_*.safetensors: LoRAs on the matrices of text encoders, with the results in float32.

    make_text_lora.py OUT_FOLDER

Each file holds `base.<tensor>` (float32, and one FP8 network), `lora.<case>.<key>`, `want.<case>.<tensor>` at strength
`strength` of the metadata. The formulas are those of the LoRA, LyCORIS and DoRA papers, computed with torch in float64.
"""
import json
import sys

import torch
from safetensors.torch import save_file

g = torch.Generator().manual_seed(5)


def rnd(*shape):
    return torch.randn(*shape, generator=g) * 0.3


NETS = {
    # network: (key, ComfyUI name, tensors, spellings of a stem)
    'clip': ('clip_l', {'text_model.encoder.layers.0.mlp.fc1': (12, 8), 'text_model.encoder.layers.1.self_attn.q_proj': (8, 8)},
             ['lora_te1_{_}', 'lora_te_{_}', 'text_encoder.{}', 'text_encoders.clip_l.transformer.{}',
              'clip_l.transformer.{}', 'clip_l.{}', 'base_model.model.{}', '{}']),
    't5': ('t5xxl', {'encoder.block.0.layer.0.SelfAttention.q': (8, 6), 'encoder.block.1.layer.1.DenseReluDense.wi_0': (10, 6)},
           ['lora_te3_{_}', 'lora_te2_{_}', 'text_encoders.t5xxl.transformer.{}', 'text_encoders.transformer.{}',
            'text_encoder_2.{}', 't5xxl.transformer.{}', 'base_model.model.{}', '{}']),
    'qwen3': ('qwen3_4b', {'model.layers.0.self_attn.q_proj': (16, 8), 'model.layers.3.mlp.down_proj': (8, 12)},
              ['text_encoders.qwen3_4b.transformer.{}', 'base_model.model.{}', 'lora_te_{_}', 'lora_te1_{_}',
               'text_encoder.{}', 'text_encoders.transformer.{}', '{}', 'qwen3_4b.{}']),
    'mistral3': ('mistral3_24b', {'model.layers.0.self_attn.v_proj': (4, 8), 'model.layers.2.mlp.up_proj': (12, 8)},
                 ['text_encoders.mistral3_24b.transformer.{}', 'base_model.model.{}', 'lora_te_{_}', 'text_encoder.{}', '{}',
                  'lora_te1_{_}', 'text_encoders.transformer.{}', 'mistral3_24b.{}']),
}
PAIRS = [('.lora_up.weight', '.lora_down.weight'), ('.lora_B.weight', '.lora_A.weight'), ('.lora.up.weight', '.lora.down.weight'),
         ('_lora.up.weight', '_lora.down.weight'), ('.lora_B.default.weight', '.lora_A.default.weight')]


def product(p, shape, i, alpha=True):
    up, down = PAIRS[i % len(PAIRS)]
    u, v = rnd(shape[0], 3), rnd(3, shape[1])
    keys = {p + up: u, p + down: v}
    if alpha:
        keys[p + '.alpha'] = torch.tensor(1.5)
    return keys, (1.5 / 3 if alpha else 1) * (u.double() @ v.double())


def loha(p, shape):
    a, b, c, d = rnd(shape[0], 2), rnd(2, shape[1]), rnd(shape[0], 2), rnd(2, shape[1])
    keys = {p + '.hada_w1_a': a, p + '.hada_w1_b': b, p + '.hada_w2_a': c, p + '.hada_w2_b': d, p + '.alpha': torch.tensor(1.0)}
    return keys, 0.5 * ((a.double() @ b.double()) * (c.double() @ d.double()))


def lokr(p, shape):
    w1, a, b = rnd(2, 2), rnd(shape[0] // 2, 2), rnd(2, shape[1] // 2)
    keys = {p + '.lokr_w1': w1, p + '.lokr_w2_a': a, p + '.lokr_w2_b': b, p + '.alpha': torch.tensor(1.0)}
    return keys, 0.5 * torch.kron(w1.double(), a.double() @ b.double())


def full(p, shape):
    d = rnd(*shape)
    return {p + '.diff': d}, d.double()


def dora(w, delta, s):
    m = (w.norm(dim=1, keepdim=True) * 1.1).float()
    c = (w + delta) * (m.double() / (w.norm(dim=1, keepdim=True) + torch.finfo(torch.float32).eps))
    return m, w + s * (c - w)


def cases(spellings):
    kinds = ['product', 'dora', 'loha', 'lokr', 'full', 'plain', 'product', 'dora']
    return list(zip(kinds, spellings))


def make(name, out, fp8):
    key, tensors, spellings = NETS[name]
    s, file = 0.7, {}
    base = {t: rnd(*shape) for t, shape in tensors.items()}
    if fp8:
        base = {t: w.to(torch.float8_e4m3fn) for t, w in base.items()}
    for t, w in base.items():
        file['base.' + t + '.weight'] = w
    for n, (kind, spelling) in enumerate(cases(spellings)):
        for i, (t, shape) in enumerate(tensors.items()):
            p = spelling.replace('{_}', t.replace('.', '_')).replace('{}', t)
            w = base[t].double()
            if kind == 'loha':
                keys, delta = loha(p, shape)
            elif kind == 'lokr':
                keys, delta = lokr(p, shape)
            elif kind == 'full':
                keys, delta = full(p, shape)
            else:
                keys, delta = product(p, shape, n + i, kind != 'plain')
            want = w + s * delta
            if kind == 'dora':
                keys[p + '.dora_scale'], want = dora(w, delta, s)
            for k, v in keys.items():
                file[f'lora.{n}.{k}'] = v.contiguous()
            file[f'want.{n}.{t}.weight'] = want.float().contiguous()
    save_file(file, f'{out}/text_{name}{"_fp8" if fp8 else ""}.safetensors',
              metadata={'key': key, 'strength': str(s), 'cases': str(len(spellings)), 'config': json.dumps({})})


if __name__ == '__main__':
    for net in NETS:
        make(net, sys.argv[1], False)
    make('clip', sys.argv[1], True)
