"""golden.py - what PyTorch draws with the exported files in float32, as a folder for tests/workflows/test_golden.

`python graphs/mini/train/golden.py --out tests/data/mini` writes workflows/NAME.json (the shipped text-to-image workflow with another
prompt, seed, size), expected/NAME.safetensors (the final latent) and expected/NAME_00001_.png for each case.
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

CASES = {
    "mini_relation": {"prompt": "a red circle to the left of a blue square", "seed": 7, "size": 256, "steps": 4, "cfg": 1.0},
    "mini_tree_128": {"prompt": "a green tree", "seed": 42, "size": 128, "steps": 4, "cfg": 1.0},
    "mini_count_cfg2": {"prompt": "Three yellow stars on a navy background, outlined", "seed": 1234567, "size": 192, "steps": 3,
                        "cfg": 2.0},
}


def workflow(top, name, c):
    """The shipped workflow with this case's values, a real empty negative prompt, and the latent saved too."""
    with open(top + "/graphs/mini_text_to_image.json") as f:
        g = json.load(f)
    g["4"]["inputs"]["text"] = c["prompt"]
    g["5"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["2", 0]}}
    g["20"]["inputs"]["noise_seed"] = c["seed"]
    g["22"]["inputs"]["steps"] = c["steps"]
    g["23"]["inputs"]["cfg"] = c["cfg"]
    for node in ("6", "22"):
        g[node]["inputs"]["width"] = g[node]["inputs"]["height"] = c["size"]
    g["26"]["inputs"]["filename_prefix"] = name
    g["27"] = {"class_type": "SaveLatent", "inputs": {"samples": ["24", 0], "filename_prefix": "latents/" + name}}
    return g


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--models", default="graphs/mini/models")
    p.add_argument("--out", default="tests/data/mini")
    a = p.parse_args()
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
    text, flux, auto, tok = export.load(a.models)
    for folder in ("workflows", "expected"):
        os.makedirs(a.out + "/" + folder, exist_ok=True)
    for name, c in CASES.items():
        z = sample.draw(text, flux, None, tok, [c["prompt"]], [c["seed"]], c["size"], c["steps"], c["cfg"], bf16=False)
        common.write_safetensors("%s/expected/%s.safetensors" % (a.out, name), {"latent_tensor": z})
        with torch.no_grad():
            common.write_png("%s/expected/%s_00001_.png" % (a.out, name), common.to_bytes(auto.decode(z))[0])
        with open("%s/workflows/%s.json" % (a.out, name), "w") as f:
            json.dump(workflow(top, name, c), f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
