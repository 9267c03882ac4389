"""The page's time line: what timeline.js draws, packed into the page."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib

from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.profile.bound import NAMES, WAITS_FOR
from jacquard.runtime.profile.measure import Profile

COLOURS = {
    Bucket.BUSY: "#009e73",
    Bucket.WAIT_LOAD: "#0072b2",
    Bucket.WAIT_MATRIX: "#e69f00",
    Bucket.WAIT_VECTOR: "#cc79a7",
    Bucket.WAIT_STORE: "#56b4e9",
    Bucket.DRAM_BANDWIDTH: "#d55e00",
    Bucket.DRAM_LATENCY: "#8b2500",
    Bucket.PORT: "#8c8c00",
    Bucket.DRAIN: "#7a7a7a",
    Bucket.EMPTY: "#cccccc",
}

# What an engine does with no instruction in it.
WAITS = (*WAITS_FOR, Bucket.EMPTY)

_STYLE = """
#timeline { position: relative; }
#timeline canvas { width: 100%; cursor: grab; display: block; touch-action: none; }
#timeline .tip { position: absolute; display: none; pointer-events: none; white-space: pre;
  background: Canvas; border: 1px solid #8888; padding: 4px 8px; font-size: 12px; z-index: 1; }
"""


def timeline(profile: Profile) -> str:
    """The part of the page: a canvas, its data and its script."""
    data = json.dumps(timeline_data(profile), separators=(",", ":")).encode()
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    script = pathlib.Path(__file__).with_name("timeline.js").read_text()
    buttons = "".join(
        f'<button type="button" data-zoom="{what}">{text}</button> '
        for what, text in (("in", "zoom in"), ("out", "zoom out"), ("all", "whole run"))
    )
    return (
        f"<style>{_STYLE}</style>"
        f'<div id="timeline">{buttons}<canvas></canvas><div class="tip"></div></div>'
        f'<script type="text/plain" id="timeline-data">{packed}</script>'
        # After the table of layers, whose rows it listens to.
        f'<script type="module">\n{script}</script>'
    )


def timeline_data(profile: Profile) -> dict[str, object]:
    """Cycles of every instruction by engine, and of the layers; names and colours of buckets."""
    spans = profile.spans
    engines = []
    for engine in Engine:
        own = spans.engine == engine
        engines.append(
            {
                "name": engine.name,
                "index": spans.index[own].tolist(),
                "layer": spans.layer[own].tolist(),
                "from": spans.idle_from[own].tolist(),
                "begin": spans.begin[own].tolist(),
                "done": spans.done[own].tolist(),
                "spent": spans.buckets[own].ravel().tolist(),
            }
        )
    layers, end = [], 0
    for layer in profile.layers:
        layers.append(
            {
                "name": layer.name,
                "op": layer.op,
                "bound": layer.bound,
                "begin": end,
                "end": end + layer.cycles,
            }
        )
        end += layer.cycles
    return {
        "cycles": profile.cycles,
        "buckets": [NAMES[bucket] for bucket in Bucket],
        "waits": [int(bucket) for bucket in WAITS],
        "colours": [COLOURS[bucket] for bucket in Bucket],
        "engines": engines,
        "layers": layers,
    }
