#!/usr/bin/env python3
"""Copies a part of the reference's whole-run results into tests/data, under the publishers' file names.

usage: make_golden_data.py GOLDEN_FOLDER TESTS_DATA
"""
import json
import pathlib
import shutil
import sys

MODELS = {
    "diffusion_models/tiny-flux2-klein.safetensors": "diffusion_models/flux-2-klein-4b.safetensors",
    "diffusion_models/tiny-flux2-dev.safetensors": "diffusion_models/flux2_dev_bf16.safetensors",
    "diffusion_models/tiny-flux2-klein-mini-fp8_comfy_quant.safetensors":
        "diffusion_models/flux-2-klein-4b-fp8.safetensors",
    "text_encoders/tiny-qwen3-4b.safetensors": "text_encoders/qwen_3_4b.safetensors",
    "vae/tiny-flux2-vae.safetensors": "vae/flux2-vae.safetensors",
}
CASES = """klein_t2i_template klein_t2i_batch2 klein_t2i_cfg5_neg klein_t2i_zeroed_negative klein_t2i_over512_tokens
klein_edit_1ref klein_edit_2ref klein_edit_2ref_offset klein_img2img_odd_size_d04 klein_outpaint klein_split_sigmas
klein_flip_sigmas_unsample klein_ksampler_advanced_two_stage klein_ksampler_ddim klein_ksampler_uni_pc
klein_cond_setmask_area klein_cond_timestep_range klein_cond_average klein_inpaintmodelconditioning_differential
klein_setlatentnoisemask_ops klein_latent_ops_batch klein_latentupscale_bislerp klein_latentupscaleby_tiled_decode
klein_vaeencodetiled klein_vae_encode_for_inpaint_grow24 klein_fp8_comfy_quant flux2dev_guidance4
flux2dev_default_guidance_cfg3 image_scale_chain image_scale_lanczos""".split()


def renamed(value):
    for old, new in MODELS.items():
        if value == old.split("/", 1)[1]:
            return new.split("/", 1)[1]
    return value


def main(golden, data):
    golden, data = pathlib.Path(golden), pathlib.Path(data)
    for old, new in MODELS.items():
        target = data / "models" / new
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(golden / "models" / old, target)
    inputs = set()
    for case in CASES:
        graph = json.loads((golden / "workflows" / f"{case}.json").read_text())
        for node in graph.values():
            node["inputs"] = {k: renamed(v) if isinstance(v, str) else v for k, v in node["inputs"].items()}
            if node["class_type"] in ("LoadImage", "LoadImageMask"):
                inputs.add(node["inputs"]["image"])
        (data / "workflows").mkdir(exist_ok=True)
        (data / "workflows" / f"{case}.json").write_text(json.dumps(graph, indent=1) + "\n")
        for found in sorted((golden / "expected").glob(f"{case}.safetensors")) + sorted(
                (golden / "expected").glob(f"{case}_0000?_.png")):
            shutil.copyfile(found, data / "expected" / found.name)
    for name in sorted(inputs):
        shutil.copyfile(golden / "input" / name, data / "input" / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
