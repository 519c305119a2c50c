"""make_class_facts.py - class facts of the reference program to nodes/facts_data.inc.

    python3 tests/tools/make_class_facts.py object_info.core.json.gz object_info.custom.json.gz nodes/facts_data.inc

All classes of both files are taken; one that both have is the first file's. An input is the facts file described in the workflow-format page (names, types, defaults, ranges,
options; no help texts). The output is rows of the macros that nodes/facts.c defines.
"""
import gzip
import json
import sys

LINKS = {"MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK", "SIGMAS", "NOISE", "SAMPLER",
         "GUIDER", "CONTROL_NET", "CLIP_VISION", "CLIP_VISION_OUTPUT", "STYLE_MODEL", "UPSCALE_MODEL",
         "MODEL_PATCH"}
HIDDEN = {"PROMPT": "SOCK_F_HIDDEN_PROMPT", "EXTRA_PNGINFO": "SOCK_F_HIDDEN_PNGINFO", "UNIQUE_ID": "SOCK_F_HIDDEN_ID"}


def text(s):
    return json.dumps(s, ensure_ascii=True) if s.isascii() else '"' + "".join(
        c if 32 <= ord(c) < 127 and c not in '"\\' else "".join("\\%03o" % b for b in c.encode()) for c in s) + '"'


def number(v):
    if isinstance(v, bool):
        return str(int(v))
    if isinstance(v, (list, str)):  # packs have defaults of another type
        return "0"
    if v in (float("inf"), None):
        return "INF"
    if v == float("-inf"):
        return "-INF"
    return repr(float(v)).removesuffix(".0") if abs(v) < 1e15 else repr(float(v))


class Writer:
    def __init__(self):
        self.options, self.option_lists = {}, []
        self.rows, self.row_index = [], {}
        self.keys, self.grows = [], []

    def option_list(self, names):
        key = tuple(str(n) for n in names)
        if key not in self.options:
            self.options[key] = len(self.option_lists)
            self.option_lists.append(key)
        return "o%d" % self.options[key]

    def flags(self, spec, optional, extra=()):
        f = list(extra)
        if optional:
            f.append("OPT")
        for key, flag in (("forceInput", "FORCE"), ("multiline", "MULTI"), ("lazy", "LAZY"), ("dynamicPrompts", "DYN")):
            if spec.get(key):
                f.append(flag)
        return "|".join(f) or "0"

    def bounds(self, spec):
        lo, hi = spec.get("min"), spec.get("max")
        if lo is None and hi is None:
            return "0,0"
        return "%s,%s" % ("-INF" if lo is None else number(lo), number(hi))

    def control(self, name, spec):
        given = spec.get("control_after_generate")
        if given is False and name in ("seed", "noise_seed"):
            return ["FREE"]
        return ["CTRL"] if given or (spec["t"] == "INT" and name in ("seed", "noise_seed")) else []

    def socket(self, name, spec, optional):
        t, n = spec["t"], text(name)
        if t == "INT":
            extra = self.control(name, spec) + (["U64"] if (spec.get("max") or 0) > 2**63 else [])
            return "I(%s,%s,%s,%s,%s)" % (n, self.flags(spec, optional, extra), number(spec.get("default", 0)),
                                          self.bounds(spec), number(spec.get("step", 0)))
        if t == "FLOAT":
            rounding = spec.get("round", 0)
            return "F(%s,%s,%s,%s,%s,%s)" % (n, self.flags(spec, optional, self.control(name, spec)),
                                             number(spec.get("default", 0)), self.bounds(spec),
                                             number(spec.get("step", 0)), "-1" if rounding is False else number(rounding))
        if t == "BOOLEAN":
            return "B(%s,%s,%d)" % (n, self.flags(spec, optional), spec.get("default") is True)
        if t == "STRING":
            return "S(%s,%s,%s)" % (n, self.flags(spec, optional), text(spec.get("default", "")))
        if t == "COMBO":
            names, extra = spec.get("enum", []), self.control(name, spec)
            if any(isinstance(x, int) for x in names):
                extra.append("INTS")
            if spec.get("image_upload") or spec.get("video_upload") or spec.get("animated_image_upload"):
                extra.append("UP")
            if spec.get("audio_upload"):
                extra.append("AUDIO")
            default = spec.get("default")
            return "C(%s,%s,%s,%s)" % (n, self.flags(spec, optional, extra), self.option_list(names) if names else "NULL",
                                       text(str(default)) if default is not None else "NULL")
        if t == "COMFY_DYNAMICCOMBO_V3":
            return "D(%s,%s,%s,k%d)" % (n, self.flags(spec, optional), self.option_list([k["key"] for k in spec["keys"]]),
                                        self.dynamic(spec["keys"]))
        if t == "COMFY_AUTOGROW_V3":
            return "A(%s,%s,g%d)" % (n, self.flags(spec, optional), self.grown(spec["template"]))
        if t in LINKS:
            return "L(%s,%s,%s)" % (n, self.flags(spec, optional), "SOCK_COND" if t == "CONDITIONING" else "SOCK_" + t)
        if t == "*":
            return "L(%s,%s,SOCK_ANY)" % (n, self.flags(spec, optional))
        if spec.get("widgetType") or spec.get("default") is not None:
            extra = ["WIDGET"] if spec.get("widgetType") else []
            return "W(%s,%s,%s,%s)" % (n, self.flags(spec, optional, extra), text(t), text(str(spec.get("default", ""))))
        return "X(%s,%s,%s)" % (n, self.flags(spec, optional), text(t))

    def grown(self, template):
        (name, spec), = template["input"]["required"].items()
        names = template.get("names") or [template["prefix"] + "0"]
        prefix = names[0].rstrip("0123456789")
        first = int(names[0][len(prefix):])
        assert names == ["%s%d" % (prefix, first + i) for i in range(len(names))]
        t = spec["t"]
        kind = "SOCK_%s,%%s,NULL" % t if t in LINKS else "SOCK_OTHER,%%s,%s" % text(t)
        numbers = "%d,%d,%d" % (template["min"], template.get("max", len(names)), first)
        self.grows.append("{%s,%s}" % (text(prefix), kind % numbers))
        return len(self.grows) - 1

    def dynamic(self, keys):
        parts = [(k["key"], self.place(self.inputs(k["inputs"]))) for k in keys]
        self.keys.append(parts)
        return len(self.keys) - 1

    def inputs(self, groups):
        required, optional = groups.get("required", {}), groups.get("optional", {})
        rows = [self.socket(n, s, False) for n, s in required.items()]
        rows += [self.socket(n, s, True) for n, s in optional.items()]
        rows += ["H(%s,%s)" % (text(n), HIDDEN[t]) for n, t in groups.get("hidden", {}).items() if t in HIDDEN]
        return rows

    def outputs(self, fact):
        rows = []
        for i, t in enumerate(fact["out"]):
            names = fact.get("out_names") or []
            name = names[i] if i < len(names) and names[i] else t if isinstance(t, str) else "COMBO"
            flag = "LIST" if (fact.get("out_list") or [])[i:i + 1] == [True] else "0"
            if isinstance(t, list):
                t = "COMBO"
            rows.append(self.socket(name, {"t": t}, False).replace(",0", "," + flag, 1) if t in LINKS | {"*"}
                        else "X(%s,%s,%s)" % (text(name), flag, text(t)))
        return rows

    def place(self, rows):
        key = tuple(rows)
        if key not in self.row_index:
            self.row_index[key] = len(self.rows)
            self.rows += list(rows) + ["E"]
        return self.row_index[key]


# Places in the golden order; a name that ends in * is a prefix.
STAGES = {
    "LOAD": "UNETLoader CheckpointLoader CheckpointLoaderSimple ImageOnlyCheckpointLoader unCLIPCheckpointLoader "
            "DiffusersLoader",
    "LORA": "LoraLoader LoraLoaderModelOnly LoraLoaderBypass LoraLoaderBypassModelOnly LoraModelLoader DiTBlockLoraLoader "
            "HypernetworkLoader",
    "ATTENTION": "PathchSageAttentionKJ PatchFlashAttentionKJ NABLA_AttentionKJ ModelAttentionBackend",
    "SAMPLING": "ModelSampling*",
    "BLOCKS": "FreeU FreeU_V2 HyperTile PatchModelAddDownscale PerturbedAttentionGuidance SelfAttentionGuidance "
              "QwenImageDiffsynthControlnet ZImageFunControlnet USOStyleReference TomePatchModel SkipLayerGuidance* "
              "UNetCrossAttentionMultiply UNetSelfAttentionMultiply UNetTemporalAttentionMultiply ReferenceOnlySimple",
    "GUIDE": "APG CFGNorm CFGZeroStar CFGZeroStarAndInit RescaleCFG RenormCFG TCFG Mahiro FreSca PerpNeg "
             "VideoLinearCFGGuidance VideoTriangleCFGGuidance LatentApplyOperationCFG DifferentialDiffusion "
             "DifferentialDiffusionAdvanced TemporalScoreRescaling WanVideoNAG",
    "COMPILE": "TorchCompileModel*",
    "CACHE": "EasyCache LazyCache WanVideoTeaCacheKJ",
    "SAMPLE": "KSampler KSamplerAdvanced SamplerCustom SamplerCustomAdvanced",
    "DECODE": "VAEDecode VAEDecodeTiled",
}


def stage(name):
    for stage_name, classes in STAGES.items():
        for c in classes.split():
            if name == c or (c.endswith("*") and name.startswith(c[:-1])):
                return "STAGE_" + stage_name
    return "STAGE_NONE"


def node_flags(fact):
    pairs = (("output_node", "NODE_F_OUTPUT"), ("deprecated", "NODE_F_DEPRECATED"), ("experimental", "NODE_F_EXPERIMENTAL"),
             ("in_list", "NODE_F_INPUT_IS_LIST"), ("cloud", "NODE_F_API"))
    return "|".join(flag for key, flag in pairs if fact.get(key)) or "0"


def fill(items, width=108):
    line = ""
    for item in items:
        if line and len(line) + len(item) + 1 > width:
            yield line
            line = ""
        line += item + ","
    if line:
        yield line


def main(core, packs, target):
    facts = json.load(gzip.open(packs))["nodes"]
    facts.update(json.load(gzip.open(core))["nodes"])
    w, defs = Writer(), []
    for name in sorted(facts, key=lambda s: s.encode()):
        f = facts[name]
        ins, outs = w.place(w.inputs(f["in"])), w.place(w.outputs(f))
        display = "NULL" if f["disp"] in (name, None) else text(f["disp"])
        defs.append("N(%s,%s,%s,%d,%d,%s,%s)" % (text(name), display, text(f["cat"]), ins, outs, node_flags(f),
                                                       stage(name)))
    with open(target, "w", encoding="ascii") as out:
        out.write("/* facts_data.inc - generated by tests/tools/make_class_facts.py; do not edit. */\n#ifdef FACT_OPTIONS\n")
        for i, names in enumerate(w.option_lists):
            out.write("".join(line + "\n" for line in fill(
                ["static const char *const o%d[] = {%s" % (i, text(names[0]))] + [text(n) for n in names[1:]] + ["NULL}"])
            ).rstrip(",\n") + ";\n")
        out.write("#endif\n#ifdef FACT_KEYS\nstatic const Socket rows[%d];\n" % len(w.rows))
        for i, parts in enumerate(w.keys):
            out.write("static const SocketKey k%d[] = {\n%s\n};\n" % (
                i, "\n".join(fill(["{%s,rows+%d}" % (text(k), at) for k, at in parts] + ["{NULL,NULL}"]))))
        for i, grow in enumerate(w.grows):
            out.write("static const SocketGrow g%d = %s;\n" % (i, grow))
        out.write("#endif\n#ifdef FACT_ROWS\n" + "\n".join(fill(w.rows)) + "\n#endif\n#ifdef FACT_NODES\n")
        out.write("\n".join(d + "," for d in defs) + "\n#endif\n")


main(*sys.argv[1:])
