"""One product of PyTorch in bf16, FP8 and int8, to compare with `weft bench gemm --weight TYPE`.

    python3 tests/bench/torch_gemm.py [--threads N] [--cpu-time]
"""

import argparse
import time

import torch

M, N, K = 1536, 9216, 3072


def best(work, clock, repeat=5):
    work()
    least = float("inf")
    for _ in range(repeat):
        start = clock()
        work()
        least = min(least, clock() - start)
    return least


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of wall time")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    torch.set_num_threads(args.threads)
    x, w = torch.randn(M, K).bfloat16(), torch.randn(N, K).bfloat16()
    narrow = w.to(torch.float8_e4m3fn)
    codes = (w.float() * 30).clamp(-127, 127).to(torch.int8).t().contiguous()
    scale = torch.tensor(0.5, dtype=torch.bfloat16)

    def int8():
        row = x.abs().amax(1, keepdim=True).float() / 127
        quantised = (x / row).round().clamp(-128, 127).to(torch.int8)
        return (torch._int_mm(quantised, codes).float() * (row * 0.01)).bfloat16()

    quantised = (x.float() * 30).clamp(-127, 127).to(torch.int8)
    works = {
        "bf16": lambda: torch.nn.functional.linear(x, w),
        "fp8, widened": lambda: torch.nn.functional.linear(x, narrow.bfloat16() * scale),
        "int8, product alone": lambda: torch._int_mm(quantised, codes),
        "int8, x quantised": int8,
    }
    for name, work in works.items():
        seconds = best(work, clock)
        print(f"{name}: {seconds:.4f} s, {2e-9 * M * N * K / seconds:.0f} GFLOP/s")


main()
