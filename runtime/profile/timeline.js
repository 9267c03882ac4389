// The time line: a row per engine, each pixel's cycles stacked by bucket, and a row of the layers.
// Wheel: zoom at the pointer. Drag: move. Double click: the whole run. Near enough, instructions
// show one by one. Data: see timeline.py.
"use strict";
(async () => {
  const root = document.getElementById("timeline");
  const packed = document.getElementById("timeline-data").textContent;
  const raw = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const unpacked = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(unpacked).json();
  const canvas = root.querySelector("canvas"), tip = root.querySelector(".tip");
  const pen = canvas.getContext("2d");
  const LEFT = 70, ROW = 56, GAP = 8, AXIS = 22, TOP = 26;
  const engines = data.engines;
  const B = data.buckets.length;
  const works = data.buckets.map((_, k) => k).filter((k) => !data.waits.includes(k));
  const full = [0, data.cycles];
  let view = full.slice(), drag = null;

  const lower = (list, value) => {  // first place whose element is above value
    let a = 0, b = list.length;
    while (a < b) { const m = (a + b) >> 1; if (list[m] > value) b = m; else a = m + 1; }
    return a;
  };
  const width = () => canvas.clientWidth - LEFT - 4;
  const x = (cycle) => LEFT + (cycle - view[0]) / (view[1] - view[0]) * width();
  const cycleAt = (px) => view[0] + (px - LEFT) / width() * (view[1] - view[0]);
  const rowTop = (n) => TOP + 30 + GAP + n * (ROW + GAP);

  // Cycles per pixel and bucket of the engine's visible instructions. Before an instruction has the
  // engine to itself the engine waits; each of the two parts is spread evenly over its time.
  const columns = (e) => {
    const w = Math.max(1, Math.floor(width())), sums = new Float64Array(w * B);
    const per = (view[1] - view[0]) / w;
    const spread = (i, a, b, buckets) => {
      const first = Math.max(0, Math.floor((a - view[0]) / per));
      const last = Math.min(w - 1, Math.floor((b - view[0]) / per));
      for (let p = first; p <= last; p++) {
        const part = Math.min(b, view[0] + (p + 1) * per) - Math.max(a, view[0] + p * per);
        if (part <= 0) continue;
        for (const k of buckets) sums[p * B + k] += e.spent[i * B + k] * part / (b - a);
      }
    };
    for (let i = lower(e.done, view[0]); i < e.done.length && e.from[i] < view[1]; i++) {
      const a = e.from[i], m = e.begin[i], b = e.done[i];
      if (a < m && m < b) { spread(i, a, m, data.waits); spread(i, m, b, works); }
      else if (a < b) { spread(i, a, b, data.waits); spread(i, a, b, works); }
    }
    return {w, per, sums};
  };

  const clipped = (text, room) => {
    const most = Math.floor(room / 6);
    return text.length <= most ? text : most > 3 ? text.slice(0, most - 1) + "\u2026" : "";
  };

  const draw = () => {
    const scale = window.devicePixelRatio || 1;
    const height = rowTop(engines.length) + AXIS;
    canvas.style.height = height + "px";
    canvas.width = Math.floor(canvas.clientWidth * scale);
    canvas.height = Math.floor(height * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, canvas.clientWidth, height);
    const ink = getComputedStyle(root).color;
    pen.font = "11px sans-serif";
    // Ticks.
    const rough = (view[1] - view[0]) / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= rough);
    pen.textAlign = "center";
    for (let t = Math.ceil(view[0] / step) * step; t <= view[1]; t += step) {
      pen.globalAlpha = 0.15; pen.fillStyle = ink;
      pen.fillRect(x(t), TOP - 6, 1, height - TOP - AXIS + 6);
      pen.globalAlpha = 1;
      pen.fillText(Math.round(t).toLocaleString("en"), x(t), 14);
    }
    // Layers.
    pen.save();
    pen.beginPath(); pen.rect(LEFT, 0, width(), height); pen.clip();
    data.layers.forEach((layer, n) => {
      if (layer.end < view[0] || layer.begin > view[1]) return;
      const a = Math.max(LEFT, x(layer.begin)), b = Math.min(LEFT + width(), x(layer.end));
      pen.fillStyle = n % 2 ? "#8aa4b8" : "#6d8ba3";
      pen.fillRect(a, TOP, Math.max(0.5, b - a), 26);
      if (b - a > 30) {
        pen.fillStyle = "#fff"; pen.textAlign = "left";
        pen.fillText(clipped(layer.name, b - a - 6), a + 4, TOP + 17);
      }
    });
    // Engines.
    engines.forEach((e, n) => {
      const top = rowTop(n), {w, per, sums} = columns(e);
      for (let p = 0; p < w; p++) {
        let y = top + ROW;
        for (let k = 0; k < B; k++) {
          const h = sums[p * B + k] / per * ROW;
          if (h <= 0) continue;
          pen.fillStyle = data.colours[k];
          pen.fillRect(LEFT + p, y - h, 1, h + 0.3);
          y -= h;
        }
      }
      // One by one, once they are wide enough to see.
      const first = lower(e.done, view[0]), last = lower(e.from, view[1]);
      if (last - first < w / 6) {
        for (let i = first; i < last; i++) {
          pen.strokeStyle = ink; pen.globalAlpha = 0.7;
          pen.strokeRect(x(e.begin[i]) + 0.5, top + 0.5, Math.max(1, x(e.done[i]) - x(e.begin[i]) - 1), ROW - 1);
          pen.globalAlpha = 1;
        }
      }
    });
    pen.restore();
    pen.fillStyle = ink; pen.textAlign = "right";
    pen.fillText("layer", LEFT - 8, TOP + 17);
    engines.forEach((e, n) => pen.fillText(e.name, LEFT - 8, rowTop(n) + ROW / 2 + 4));
    root.dataset.view = view.map(Math.round).join(" ");
    root.dataset.drawn = "yes";
  };

  const clamp = (a, b) => {
    const size = Math.min(Math.max(b - a, 20), full[1]);
    const begin = Math.min(Math.max(a, 0), full[1] - size);
    view = [begin, begin + size];
    draw();
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = cycleAt(event.offsetX), factor = event.deltaY > 0 ? 1.25 : 0.8;
    clamp(at - (at - view[0]) * factor, at + (view[1] - at) * factor);
  }, {passive: false});
  canvas.addEventListener("pointerdown", (event) => {
    drag = {px: event.offsetX, view: view.slice()};
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("dblclick", () => clamp(...full));
  const show = (lines, event) => {
    tip.textContent = lines.join("\n");
    tip.style.display = "block";
    tip.style.left = Math.min(event.offsetX + 14, canvas.clientWidth - tip.offsetWidth - 4) + "px";
    tip.style.top = event.offsetY + 14 + "px";
  };
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const by = (drag.px - event.offsetX) / width() * (drag.view[1] - drag.view[0]);
      return clamp(drag.view[0] + by, drag.view[1] + by);
    }
    tip.style.display = "none";
    const at = cycleAt(event.offsetX);
    if (event.offsetX < LEFT || at > full[1]) return;
    const number = (v) => Math.round(v).toLocaleString("en");
    if (event.offsetY < rowTop(0)) {
      const layer = data.layers.find((l) => l.begin <= at && at < l.end);
      if (layer) show([layer.name, `${layer.op}, ${number(layer.end - layer.begin)} cycles`, layer.bound], event);
      return;
    }
    const n = Math.floor((event.offsetY - rowTop(0)) / (ROW + GAP)), e = engines[n];
    if (!e) return;
    const i = lower(e.done, at);
    if (i >= e.done.length || e.from[i] > at) return;
    const layer = e.layer[i] < 0 ? "" : data.layers[e.layer[i]].name;
    const spent = data.buckets.map((name, k) => [name, e.spent[i * B + k]]).filter((s) => s[1]);
    show([`${e.name} instruction ${number(e.index[i])}`, layer,
      `cycles ${number(e.from[i])} to ${number(e.done[i])}, its own from ${number(e.begin[i])}`,
      ...spent.map(([name, c]) => `  ${name}: ${number(c)}`)], event);
  });
  canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  root.querySelector("[data-zoom=in]").addEventListener("click", () => {
    const middle = (view[0] + view[1]) / 2, half = (view[1] - view[0]) / 4;
    clamp(middle - half, middle + half);
  });
  root.querySelector("[data-zoom=out]").addEventListener("click", () => {
    const middle = (view[0] + view[1]) / 2, half = view[1] - view[0];
    clamp(middle - half, middle + half);
  });
  root.querySelector("[data-zoom=all]").addEventListener("click", () => clamp(...full));
  // A click on a layer's row of the table shows that layer here.
  [...document.querySelectorAll("#layers tbody tr")].forEach((row, n) => row.addEventListener("click", () => {
    const layer = data.layers[n];
    const margin = Math.max(10, (layer.end - layer.begin) / 10);
    clamp(layer.begin - margin, layer.end + margin);
    root.scrollIntoView({block: "nearest"});
  }));
  window.addEventListener("resize", draw);
  draw();
})();
