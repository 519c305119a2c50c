"""train.py - trains the small model from nothing: `python graphs/mini/train/train.py all --work build-mini`.

Each stage resumes from its checkpoint in --work; `all` runs them in order.
"""
import argparse
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch  # noqa: E402  (after the wait policy is set)


def sets(a):
    import data
    data.build(a.work, "small", 21, a.count, 128)
    data.build(a.work, "large", 22, a.large_count, 256)
    data.build(a.work, "edits", 23, a.large_count // 5, 256, edits=True)


def vae(a):
    import train_vae
    train_vae.train(a.work, a.vae_steps * 3 // 4, 64, 8, a.vae_steps)
    train_vae.train(a.work, a.vae_steps, 128, 3, max(1, a.vae_steps // 4))


def small(a):
    import train_flow
    train_flow.train(a.work, "small", a.small_steps, a.batch, 1e-3, fall=0, shift=.9, compiled=a.compile)


def large(a):
    import train_flow
    train_flow.train(a.work, "large", a.small_steps + a.large_steps, a.large_batch, 1e-3, a.fall, shift=1.4,
                     mix=(("edits", a.edit_share, a.large_batch // 2),) if a.edit_share else (),
                     compiled=a.compile)


def distil(a):
    import train_flow
    train_flow.distil(a.work, a.distil_steps, a.large_batch, 4e-4, mix=a.edit_share, compiled=a.compile)


def correct(a):
    import data
    import export as files
    import train_correct
    data.build(a.work, "edits", 23, a.large_count // 5, 256, edits=True)
    train_correct.train(a.work, a.checkpoint or files.newest(a.work, ("distilled.pt", "flow.pt")), a.correct_steps,
                        a.large_batch, 3e-4)


def export(a):
    import export as files
    files.write(a.work, a.models, a.checkpoint)


def take(a):
    import export as files
    files.take(a.work, a.models)


def lora(a):
    import export as files
    import train_lora
    if not os.path.exists(a.work + "/lora.pt"):
        train_lora.train(a.work, a.lora_steps, a.large_batch, 4e-3, a.checkpoint or files.newest(a.work))
    train_lora.write(a.work, a.models + "/loras/weft-mini-blueprint.safetensors")


STAGES = {"sets": sets, "vae": vae, "small": small, "large": large, "distil": distil, "correct": correct,
          "export": export, "lora": lora}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("stage", choices=list(STAGES) + ["all", "take"],
                   help="take: checkpoints from the files in --models, to go on from them")
    p.add_argument("--work", default="build-mini", help="folder for checkpoints and training sets")
    p.add_argument("--models", default="graphs/mini/models", help="where export writes")
    p.add_argument("--checkpoint", help="export this one instead of the most finished")
    p.add_argument("--threads", type=int, default=0, help="0: all cores")
    p.add_argument("--count", type=int, default=40000, help="scenes of 128 pixels")
    p.add_argument("--large-count", type=int, default=20000, help="scenes of 256 pixels")
    p.add_argument("--vae-steps", type=int, default=2000)
    p.add_argument("--small-steps", type=int, default=3100)
    p.add_argument("--large-steps", type=int, default=8000)
    p.add_argument("--distil-steps", type=int, default=1200)
    p.add_argument("--correct-steps", type=int, default=1200)
    p.add_argument("--lora-steps", type=int, default=300)
    p.add_argument("--batch", type=int, default=32, help="pictures of 128 pixels in a step")
    p.add_argument("--large-batch", type=int, default=16, help="pictures of 256 pixels in a step")
    p.add_argument("--edit-share", type=float, default=.1, help="share of the steps of `large` that are edit pairs")
    p.add_argument("--fall", type=int, default=800, help="steps over which the learning rate falls at the end of `large`")
    p.add_argument("--no-compile", dest="compile", action="store_false", help="run the blocks without torch.compile")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    os.makedirs(a.work, exist_ok=True)
    if a.stage == "take":
        take(a)
        return
    for name in STAGES if a.stage == "all" else [a.stage]:
        STAGES[name](a)


if __name__ == "__main__":
    main()
