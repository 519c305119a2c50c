#!/usr/bin/env python3
"""Makes engine/text/data/{qwen,clip,t5}.bin from the published tokenizer files.

    make_tokenizer_tables.py SOURCE OUT

SOURCE holds qwen/{vocab.json,merges.txt}, clip/{vocab.json,merges.txt} and t5/tokenizer.json as their
publishers name them. The tables are little-endian and used in place from read-only memory; their layouts are
described in engine/text/merges.h and engine/text/unigram.h.
"""
import base64
import json
import struct
import sys
from pathlib import Path


def byte_alphabet():
    """The 256 printable characters that stand for bytes in vocab.json and merges.txt."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, extra = {}, 0
    for b in range(256):
        if b in keep:
            out[b] = chr(b)
        else:
            out[b] = chr(256 + extra)
            extra += 1
    return out


def pair_hash(left, right):
    """The hash of merges.c."""
    h = ((left * 0x9E3779B1) ^ (right * 0x85EBCA6B)) & 0xFFFFFFFF
    return h ^ (h >> 15)


def merge_slots(pairs, bits):
    """Open addressing with linear probing; a slot holds rank + 1."""
    mask = (1 << bits) - 1
    slots = [0] * (1 << bits)
    for rank, (left, right) in enumerate(pairs):
        at = pair_hash(left, right) & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = rank + 1
    return slots


def write_bpe(folder, out, first_line, last_line, suffix, bits):
    vocab = json.loads((folder / 'vocab.json').read_text('utf-8'))
    lines = (folder / 'merges.txt').read_text('utf-8').split('\n')[first_line:last_line]
    texts = [tuple(line.split(' ')) for line in lines if line]
    pairs = [(vocab[a], vocab[b]) for a, b in texts]
    alphabet = byte_alphabet()
    ids = [vocab[alphabet[b]] for b in range(256)]
    if suffix:
        ids += [vocab[alphabet[b] + suffix] for b in range(256)]
    first = vocab[''.join(texts[0])]
    for rank, (a, b) in enumerate(texts):
        if vocab[a + b] != first + rank:
            raise SystemExit(f'{folder}: the product of merge {rank} is not numbered in order')
    if len(set(pairs)) != len(pairs):
        raise SystemExit(f'{folder}: a merge is listed twice')
    flat = [i for pair in pairs for i in pair]
    head = struct.pack('<8I', 0x45504257, 1, len(ids), len(pairs), first, bits, 0, 0)
    body = struct.pack(f'<{len(ids)}I', *ids) + struct.pack(f'<{len(flat)}I', *flat)
    body += struct.pack(f'<{1 << bits}I', *merge_slots(pairs, bits))
    out.write_bytes(head + body)


def find_normalizer(node, kind):
    """The first normaliser of a kind in a tokenizer.json, looking into sequences."""
    todo = [node]
    while todo:
        item = todo.pop(0)
        if item['type'] == kind:
            return item
        todo += item.get('normalizers', [])
    raise SystemExit(f'no {kind} normaliser')


def write_unigram(path, out):
    data = json.loads(path.read_text('utf-8'))
    model = data['model']
    charsmap = base64.b64decode(find_normalizer(data['normalizer'], 'Precompiled')['precompiled_charsmap'])
    rows = sorted((text.encode('utf-8'), score, i) for i, (text, score) in enumerate(model['vocab']))
    offsets, blob = [0], b''
    for text, _, _ in rows:
        blob += text
        offsets.append(len(blob))
    blob += bytes(-len(blob) % 8)
    trie_bytes = struct.unpack_from('<I', charsmap)[0]
    trie, strings = charsmap[4:4 + trie_bytes], charsmap[4 + trie_bytes:]
    strings += bytes(-len(strings) % 8)
    n = len(rows)
    offsets += [0] * (len(offsets) % 2)
    ids = [i for _, _, i in rows] + [0] * (n % 2)
    worst = struct.unpack('<I', struct.pack('<f', min(s for _, s, _ in rows)))[0]
    out.write_bytes(
        struct.pack('<8I', 0x474E5557, 1, n, len(blob), trie_bytes, len(strings), model['unk_id'], worst)
        + struct.pack(f'<{n}d', *(s for _, s, _ in rows))
        + struct.pack(f'<{len(offsets)}I', *offsets) + struct.pack(f'<{len(ids)}I', *ids)
        + trie + bytes(-len(trie) % 8) + strings + blob)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    write_bpe(source / 'qwen', out / 'qwen.bin', 1, None, '', 18)
    write_bpe(source / 'clip', out / 'clip.bin', 1, 48895, '</w>', 16)
    write_unigram(source / 't5' / 'tokenizer.json', out / 't5.bin')


main()
