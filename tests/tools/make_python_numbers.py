"""Writes what Python's int() and float() make of texts: rows of [text, digits or null, repr of the float or null].

usage: python3 make_python_numbers.py > tests/data/graph/python_numbers.json
"""
import json
import random
import unicodedata

TEXTS = [
    "5", "+5", "-5", "- 5", "+-5", "007", "-0", "", " ", "\t12\n", "\v3\f", "1_000", "1__0", "_1", "1_", "+_1", "1_0.0_1",
    "1_e5", "1e_5", "1e1_0", "1_.5", "1._5", "1e3", "1E+3", "1e", "e5", ".", ".5", "5.", "-.5e-2", "0x10", "0b1", "1e400",
    "-1e400", "1e-400", "nan", "NaN", "-nan", "inf", "-inf", "+Infinity", "iNfInItY", "infinit", "in_f", "1,5", "1 2", "5\0",
    "\0005", "\x1c5", "5\x1f", "\x1c\u0665", "\x7f5", "\x855", "\u00a05\u00a0", "\u30007\u2003", "\u2028 7 \u2029", "\u16807",
    "\u200b5", "\ufeff5", "\u0661\u0662\u0663", "\u0661_\u0662", "\u0663.\u0665", "1e\u0663", "-\u0664", "\u06f4\u06f2", "\u096b",
    "\uff11\uff12", "\uff0b5", "\uff0d5", "\u22125", "1\u066b5", "\u00b2", "\u2167", "\u2460", "\u4e09", "\u00bd", "\U0001d7cf\U0001d7d0",
    "\U0001fbf9", "\U0001e95a", "5\u0301", "1" * 19, "18446744073709551616", "9" * 400, "1" * 4300, "1" * 4301, "0" * 4299 + "1",
]


def of(kind, text):
    try:
        return repr(kind(text))
    except ValueError:
        return None


def main():
    chance = random.Random(5)
    zeros = [chr(c) for c in range(0x80, 0x110000) if unicodedata.decimal(chr(c), -1) == 0]
    texts = list(TEXTS)
    for zero in zeros:
        texts.append("".join(chr(ord(zero) + d) for d in range(10)))
        texts.append(chr(ord(zero) - 1) + "1")
        texts.append("2" + chr(ord(zero) + 10))
    alphabet = "0123456789__..eE+- \u0660\u0969\u00a0"
    for _ in range(300):
        texts.append("".join(chance.choice(alphabet) for _ in range(chance.randint(1, 7))))
    rows = ",\n".join(json.dumps([t, of(int, t), of(float, t)]) for t in texts)
    print(f"[{rows}]")


main()
