"""tokens.py - byte-level BPE with Qwen-style word splitting: training, encoding, and the tokenizer.json it is kept in."""
import collections
import json

import regex

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
ADDED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
TEMPLATE = "<|im_start|>{}<|im_end|>"
LENGTH = 24


def byte_letters():
    """The usual table that gives each byte a printable character."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


LETTERS = byte_letters()


def letters(word):
    return tuple(LETTERS[b] for b in word.encode())


def learn(texts, merges):
    """Merges learned from texts, most frequent pair first (ties: smaller pair), until every frequent word is one piece."""
    words = collections.Counter(w for t in texts for w in regex.findall(SPLIT, t))
    parts = {w: list(letters(w)) for w in words}
    rules = []
    while len(rules) < merges:
        pairs = collections.Counter()
        for w, n in words.items():
            for pair in zip(parts[w], parts[w][1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        if pairs[best] < 5:
            break
        rules.append(best)
        for w in parts:
            parts[w] = merge(parts[w], best)
    return rules


def merge(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


class Tokenizer:
    def __init__(self, rules):
        self.rules = [tuple(r) for r in rules]
        self.rank = {r: i for i, r in enumerate(self.rules)}
        self.vocab = {}
        for piece in [LETTERS[b] for b in range(256)] + [a + b for a, b in self.rules]:
            self.vocab.setdefault(piece, len(self.vocab))
        self.added = {name: len(self.vocab) + i for i, name in enumerate(ADDED)}
        self.pad = self.added["<|endoftext|>"]
        self.size = len(self.vocab) + len(self.added)
        self.known = {}

    def word(self, w):
        if w not in self.known:
            parts = list(letters(w))
            while len(parts) > 1:
                ranks = [(self.rank.get(p, 1 << 30), p) for p in zip(parts, parts[1:])]
                best = min(ranks)
                if best[0] == 1 << 30:
                    break
                parts = merge(parts, best[1])
            self.known[w] = [self.vocab[p] for p in parts]
        return self.known[w]

    def plain(self, text):
        return [i for w in regex.findall(SPLIT, text) for i in self.word(w)]

    def encode(self, text, length=LENGTH):
        """Ids of one prompt in its template, right-padded to at least `length`."""
        ids = [self.added["<|im_start|>"]] + self.plain(text) + [self.added["<|im_end|>"]]
        return ids + [self.pad] * (length - len(ids))

    def save(self, path):
        added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                  "special": not name.startswith("<think") and not name.startswith("</think")}
                 for name, i in self.added.items()]
        split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
        bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        doc = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
               "normalizer": {"type": "NFC"},
               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_]},
               "post_processor": None, "decoder": {"type": "ByteLevel"},
               "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                         "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                         "vocab": self.vocab, "merges": [a + " " + b for a, b in self.rules]}}
        with open(path, "w") as f:
            json.dump(doc, f, ensure_ascii=False, indent=0)
            f.write("\n")


def load(path):
    with open(path) as f:
        doc = json.load(f)
    return Tokenizer([tuple(m.split(" ")) for m in doc["model"]["merges"]])
