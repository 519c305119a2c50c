#!/usr/bin/env python3
"""Makes tests/data/tokenizers/tekken_toy.json: a toy file in Tekken's form with the ids of some texts.

    make_tekken_toy.py OUT

Needs the Python package `tokenizers`, which is the oracle: the toy's merges are derived from its ranks as the reference's
converter does, the encoding is the package's own.
"""
import base64
import json
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
SPECIALS = ['<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '<pad>']
WORDS = ('a red circle left of a blue square, the old lighthouse in the rain at night; red houses and blue boats on the sea. '
         'painting paintings painted the theatre there then thinner 12 123 1234 café cafés naïve über ') * 3
TEXTS = ['', 'a red circle', 'the theatre, then 12345 cafés', '[INST]the sea[/INST]', ' naïve\n\n  über  ', "it's THE LIGHTHOUSE 99",
         'paintingspaintings', '日本 \U0001f3b6', '[SYSTEM_PROMPT]You[/SYSTEM_PROMPT][INST]{}[/INST]', 'aaaaaaaaaa', '<s></s>']


def letters():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, extra = {}, 0
    for b in range(256):
        out[b] = chr(b) if b in keep else chr(256 + extra)
        extra += b not in keep
    return out


def learn(data, count):
    """Byte pairs by frequency, words cut at blanks; the longest words also whole, so that whole words matter."""
    tokens = [bytes([b]) for b in range(256)]
    words = [[bytes([b]) for b in (' ' + w).encode()] for w in data.split()]
    while len(tokens) < count:
        pairs = {}
        for w in words:
            for p in zip(w, w[1:]):
                pairs[p] = pairs.get(p, 0) + 1
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        joined = best[0] + best[1]
        if joined not in tokens:
            tokens.append(joined)
        for w in words:
            i = 0
            while i + 1 < len(w):
                if (w[i], w[i + 1]) == best:
                    w[i:i + 2] = [joined]
                i += 1
    return tokens + [b' lighthouse!', b'aaaa', b'aaa', 'naïve'.encode()]


def oracle(tokens):
    table, names = letters(), {}

    def text(b):
        return ''.join(table[x] for x in b)

    rank = {t: i for i, t in enumerate(tokens)}
    for i, s in enumerate(SPECIALS):
        names[s] = i
    merges = []
    for i, t in enumerate(tokens):
        names[text(t)] = len(SPECIALS) + i
        cuts = [(t[:k], t[k:]) for k in range(1, len(t)) if t[:k] in rank and t[k:] in rank]
        merges += [(text(a), text(b)) for a, b in sorted(cuts, key=lambda c: (rank[c[0]], rank[c[1]]))]
    tok = Tokenizer(models.BPE(vocab=names, merges=merges, ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), 'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.add_special_tokens([AddedToken(s, normalized=False) for s in SPECIALS])
    return tok


def main():
    tokens = learn(WORDS, 420)
    used = tokens[:-1]  # the last one falls past the vocabulary's size
    tok = oracle(used)
    doc = {'config': {'default_vocab_size': len(used) + len(SPECIALS), 'default_num_special_tokens': len(SPECIALS)},
           'special_tokens': [{'rank': i, 'token_str': s, 'is_control': True} for i, s in enumerate(SPECIALS)],
           'vocab': [{'rank': i, 'token_bytes': base64.b64encode(t).decode(), 'token_str': None}
                     for i, t in enumerate(tokens)],
           'cases': [{'text': t, 'ids': tok.encode(t, add_special_tokens=False).ids} for t in TEXTS]}
    with open(sys.argv[1], 'w', encoding='utf-8') as f:
        json.dump(doc, f)
        f.write('\n')


main()
