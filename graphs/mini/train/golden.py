"""golden.py - final latents of the exported files for a few prompts and seeds, for tests that run without PyTorch.

`python graphs/mini/train/golden.py --out tests/data/mini` writes golden.safetensors (float32 arithmetic on the bf16 weights:
tensors `N.ids`, `N.context`, `N.latent`) and golden.json (prompt, seed, size, steps, cfg of each N).
"""
import argparse
import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch  # noqa: E402

import common  # noqa: E402
import export  # noqa: E402
import sample  # noqa: E402

CASES = (
    {"prompt": "a red circle to the left of a blue square", "seed": 7, "size": 256, "steps": 4, "cfg": 1.0},
    {"prompt": "a green tree", "seed": 42, "size": 128, "steps": 4, "cfg": 1.0},
    {"prompt": "Three yellow stars on a navy background, outlined", "seed": 1234567, "size": 192, "steps": 3, "cfg": 2.0},
)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--models", default="graphs/mini/models")
    p.add_argument("--out", default="tests/data/mini")
    a = p.parse_args()
    text, flux, auto, tok = export.load(a.models)
    tensors = {}
    for i, c in enumerate(CASES):
        with torch.no_grad():
            ids = tok.encode(c["prompt"])
            tensors["%d.ids" % i] = torch.tensor(ids)
            tensors["%d.context" % i] = text(torch.tensor([ids]))
        tensors["%d.latent" % i] = sample.draw(text, flux, None, tok, [c["prompt"]], [c["seed"]], c["size"], c["steps"],
                                               c["cfg"], bf16=False)
    common.write_safetensors(a.out + "/golden.safetensors", tensors)
    with open(a.out + "/golden.json", "w") as f:
        json.dump({"cases": CASES}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
