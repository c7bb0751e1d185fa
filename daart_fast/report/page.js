"use strict";
const { models } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// ------------------------------------------------------------------ small helpers
function add(parent, tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}
const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const time = (frame, fps) => (fps ? `${(frame / fps).toFixed(2)} s` : `frame ${Math.round(frame)}`);

function table(parent, head, rows) {
  const element = add(parent, "table");
  const top = add(add(element, "thead"), "tr");
  head.forEach((cell) => add(top, "th", cell));
  const body = add(element, "tbody");
  rows.forEach((cells) => {
    const row = add(body, "tr");
    cells.forEach((cell) => add(row, "td", cell));
  });
  return body;
}

// ------------------------------------------------------------------ a session's data
/** Starts of runs, and the place of the run that holds a frame. */
class Runs {
  constructor([classes, lengths]) {
    this.classes = classes;
    this.starts = new Float64Array(lengths.length + 1);
    lengths.forEach((length, i) => { this.starts[i + 1] = this.starts[i] + length; });
  }
  at(frame) {
    let low = 0, high = this.classes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= frame) low = middle; else high = middle - 1;
    }
    return low;
  }
}

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** Probabilities as bytes: means of blocks at once, single frames when their chunk has come. */
class Probabilities {
  constructor(model, session, textId) {
    this.n = model.classes.length;
    this.model = model;
    this.frames = session.frames;
    this.coarse = bytesOf(session.coarse);
    this.textId = textId;
    this.chunks = new Map();
  }
  /** The chunk, or null while it is being unpacked. */
  chunk(i, whenReady) {
    if (this.chunks.has(i)) return this.chunks.get(i);
    this.chunks.set(i, null);
    if (typeof DecompressionStream === "undefined") return null;
    this.lines = this.lines || byId(this.textId).textContent.split("\n");
    const stream = new Blob([bytesOf(this.lines[i])]).stream().pipeThrough(new DecompressionStream("gzip"));
    new Response(stream).arrayBuffer().then((buffer) => {
      const values = new Uint8Array(buffer);
      for (let k = this.n; k < values.length; k++) values[k] += values[k - this.n];  // undo differences
      this.chunks.set(i, values);
      whenReady();
    });
    return null;
  }
  /** (C) probabilities of a frame, of its block while the frame's own are not there. */
  at(frame, whenReady) {
    const values = this.chunk(Math.floor(frame / this.model.chunk), whenReady);
    const from = values ? (frame % this.model.chunk) * this.n : Math.floor(frame / this.model.block) * this.n;
    return Array.from((values || this.coarse).subarray(from, from + this.n), (byte) => byte / 255);
  }
}

// ------------------------------------------------------------------ the ethogram
const canvas = byId("canvas"), tip = byId("tip"), pen = canvas.getContext("2d");
const LEFT = 150, RIGHT = 26, ROW = 22, GAP = 5, CURVE = 150, AXIS = 24, MAP = 20, FINE = 40000;
const view = { session: null, rows: [], probabilities: null, model: 0, first: 0, last: 1, frames: 1, cursor: null };
const cache = new Map();

function once(key, make) {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
}

/** All sessions of all models, by name. */
const sessions = [...new Set(models.flatMap((model) => model.sessions.map((session) => session.id)))];
const find = (m, id) => models[m].sessions.findIndex((session) => session.id === id);

function rowsOf(id) {
  const rows = [];
  models.forEach((model, m) => {
    const s = find(m, id);
    if (s < 0) return;
    const session = model.sessions[s];
    const several = model.several;
    const push = (title, runs, key, track) => rows.push({
      title, model, runs: once(key, () => new Runs(runs)), colour: several ? (value) => (value === 1 ? model.colours[track] : null)
        : (value) => (value < 0 || (title.startsWith("hand") && value === model.background) ? null : model.colours[value]),
      name: several ? (value) => (value === 1 ? model.classes[track] : "–") : (value) => (value < 0 ? "not labelled" : model.classes[value]),
    });
    if (session.truth && !rows.some((row) => row.title.startsWith("hand"))) {
      session.truth.forEach((runs, t) => push(several ? `hand: ${model.classes[t]}` : "hand labels", runs, `t${m}-${s}-${t}`, t));
    }
    session.predicted.forEach((runs, t) => push(
      (several ? model.classes[t] : "predicted") + (models.length > 1 ? ` (${m + 1})` : ""), runs, `p${m}-${s}-${t}`, t));
  });
  return rows;
}

function show(id, first, last) {
  if (view.session !== id) {
    view.session = id;
    view.rows = rowsOf(id);
    byId("session").value = id;
    if (find(view.model, id) < 0) view.model = models.findIndex((_, m) => find(m, id) >= 0);
    byId("model").value = view.model;
  }
  const s = find(view.model, id);
  view.probabilities = once(`q${view.model}-${s}`, () => new Probabilities(models[view.model], models[view.model].sessions[s], `fine-${view.model}-${s}`));
  view.frames = models[view.model].sessions[s].frames;
  byId("plot").style.height = `${view.rows.length * (ROW + GAP) + CURVE + AXIS + MAP + 10}px`;
  zoomTo(first === undefined ? 0 : first, last === undefined ? view.frames : last);
}

function zoomTo(first, last) {
  const span = Math.min(Math.max(last - first, Math.min(10, view.frames)), view.frames);
  view.first = Math.min(Math.max(first, 0), view.frames - span);
  view.last = view.first + span;
  redraw();
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

const width = () => canvas.clientWidth - LEFT - RIGHT;
const xOf = (frame) => LEFT + ((frame - view.first) / (view.last - view.first)) * width();
const frameOf = (x) => view.first + ((x - LEFT) / width()) * (view.last - view.first);

function drawRuns(row, top, height, first, last, x) {
  const { runs } = row;
  const begin = runs.at(Math.max(first, 0)), end = runs.at(Math.max(last - 1, 0));
  const paint = (value, from, to) => {
    const colour = row.colour(value);
    if (colour === null) return;
    pen.fillStyle = colour;
    pen.fillRect(from, top, Math.max(to - from, 0.5), height);
  };
  if (end - begin < 3 * width()) {
    for (let i = begin; i <= end; i++) {
      paint(runs.classes[i], Math.max(x(runs.starts[i]), LEFT), Math.min(x(runs.starts[i + 1]), LEFT + width()));
    }
    return;
  }
  // more bouts than pixels: each pixel shows the bout at its middle
  const each = (last - first) / width();
  for (let pixel = 0; pixel < width(); pixel++) {
    paint(runs.classes[runs.at(first + (pixel + 0.5) * each)], LEFT + pixel, LEFT + pixel + 1);
  }
}

/** Points of class c's line: frames where they are few and have come, else means. */
function linePoints(c) {
  const { probabilities: p } = view;
  const { block, chunk } = p.model;
  const points = [];
  const span = view.last - view.first;
  if (span <= FINE) {
    const step = Math.max(1, Math.floor(span / (2 * width())));
    const begin = Math.floor(view.first / step) * step;  // means are of the same frames wherever the view begins
    const end = Math.min(Math.ceil(view.last) + 1, view.frames);
    let complete = true;
    for (let i = Math.floor(begin / chunk); i <= Math.floor((end - 1) / chunk); i++) {
      if (!p.chunk(i, redraw)) complete = false;
    }
    if (complete) {
      for (let t = begin; t < end; t += step) {
        let sum = 0, n = 0;
        for (let k = t; k < Math.min(t + step, end); k++, n++) sum += p.chunks.get(Math.floor(k / chunk))[(k % chunk) * p.n + c];
        if (n) points.push([t + step / 2, sum / n / 255]);
      }
      return points;
    }
  }
  const begin = Math.floor(view.first / block), end = Math.min(Math.ceil(view.last / block) + 1, p.coarse.length / p.n);
  const step = Math.max(1, Math.floor((end - begin) / (2 * width())));
  for (let b = begin - (begin % step); b < end; b += step) {
    let sum = 0, n = 0;
    for (let k = b; k < Math.min(b + step, end); k++, n++) sum += p.coarse[k * p.n + c];
    points.push([(b + step / 2) * block, sum / n / 255]);
  }
  return points;
}

function draw() {
  const scale = window.devicePixelRatio || 1;
  const w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
    canvas.width = Math.round(w * scale);
    canvas.height = Math.round(h * scale);
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, w, h);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  let top = 4;
  for (const row of view.rows) {
    pen.fillStyle = "#f4f4f4";
    pen.fillRect(LEFT, top, width(), ROW);
    drawRuns(row, top, ROW, view.first, view.last, xOf);
    pen.fillStyle = "#333";
    pen.textAlign = "right";
    pen.fillText(row.title.slice(0, 24), LEFT - 8, top + ROW / 2);
    top += ROW + GAP;
  }
  drawCurves(top);
  top += CURVE;
  drawAxis(top);
  drawMap(top + AXIS);
  if (view.cursor !== null) {
    pen.strokeStyle = "#0008";
    pen.beginPath();
    pen.moveTo(view.cursor, 4);
    pen.lineTo(view.cursor, top);
    pen.stroke();
  }
  const { fps } = view.probabilities.model;
  byId("where").textContent = `${time(view.first, fps)} to ${time(view.last, fps)} of ${time(view.frames, fps)}`;
}

function drawCurves(top) {
  const { model } = view.probabilities;
  const bottom = top + CURVE - 6, height = CURVE - 14;
  pen.strokeStyle = "#ddd";
  pen.strokeRect(LEFT, bottom - height, width(), height);
  pen.fillStyle = "#333";
  pen.fillText("probability", LEFT - 8, bottom - height / 2);
  pen.fillText("1", LEFT - 8, bottom - height + 4);
  pen.fillText("0", LEFT - 8, bottom - 4);
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, bottom - height - 1, width(), height + 2);
  pen.clip();
  pen.lineWidth = 1.3;
  model.classes.forEach((_, c) => {
    if (c === model.background) return;
    pen.strokeStyle = model.colours[c];
    pen.beginPath();
    for (const [frame, value] of linePoints(c)) pen.lineTo(xOf(frame), bottom - value * height);
    pen.stroke();
  });
  pen.restore();
}

function drawAxis(top) {
  const { fps } = view.probabilities.model;
  const unit = fps || 1, span = (view.last - view.first) / unit;
  const rough = span / 8, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((f) => f * power >= rough);
  pen.fillStyle = "#555";
  pen.textAlign = "center";
  for (let at = Math.ceil(view.first / unit / step) * step; at <= view.last / unit; at += step) {
    const x = xOf(at * unit);
    pen.fillRect(x, top - 6, 1, 5);
    pen.fillText(String(Number(at.toPrecision(6))), x, top + 7);
  }
  pen.textAlign = "right";
  pen.fillText(fps ? "seconds" : "frame", LEFT - 26, top + 7);
}

const onMap = (y) => y > canvas.clientHeight - MAP - 6;
function drawMap(top) {
  const row = view.rows[view.rows.length - 1];
  const x = (frame) => LEFT + (frame / view.frames) * width();
  drawRuns(row, top, MAP - 6, 0, view.frames, x);
  pen.strokeStyle = "#000";
  pen.lineWidth = 1.5;
  pen.strokeRect(x(view.first), top - 1, Math.max(x(view.last) - x(view.first), 2), MAP - 4);
  pen.lineWidth = 1;
  pen.fillStyle = "#333";
  pen.textAlign = "right";
  pen.fillText("whole session", LEFT - 8, top + 7);
}

function hover(event) {
  const box = canvas.getBoundingClientRect();
  const x = event.clientX - box.left, frame = Math.floor(frameOf(x));
  if (x < LEFT || frame < 0 || frame >= view.frames || onMap(event.clientY - box.top)) { leave(); return; }
  view.cursor = x;
  const { model } = view.probabilities;
  tip.replaceChildren();
  add(tip, "b", `${time(frame, model.fps)}${model.fps ? ` (frame ${frame})` : ""}`);
  for (const row of view.rows) add(tip, "div", `${row.title}: ${row.name(row.runs.classes[row.runs.at(frame)])}`);
  view.probabilities.at(frame, () => hover(event)).forEach((value, c) => {
    const line = add(tip, "div");
    add(line, "i", null, { class: "box", style: `background:${model.colours[c]}` });
    line.append(`${model.classes[c]} ${value.toFixed(2)}`);
  });
  tip.hidden = false;
  const left = x + 14 + tip.offsetWidth > canvas.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.min(event.clientY - box.top + 10, canvas.clientHeight - 40)}px`;
  redraw();
}
function leave() { tip.hidden = true; view.cursor = null; redraw(); }

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  const box = canvas.getBoundingClientRect();
  if (onMap(event.clientY - box.top)) {
    const middle = ((event.clientX - box.left - LEFT) / width()) * view.frames, half = (view.last - view.first) / 2;
    zoomTo(middle - half, middle + half);
    return;
  }
  drag = { x: event.clientX, first: view.first, last: view.last };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) { hover(event); return; }
  const moved = ((event.clientX - drag.x) / width()) * (drag.last - drag.first);
  zoomTo(drag.first - moved, drag.last - moved);
});
canvas.addEventListener("pointerup", () => { drag = null; });
canvas.addEventListener("pointerleave", leave);
canvas.addEventListener("dblclick", () => zoomTo(0, view.frames));
function zoomBy(factor, middle) {
  zoomTo(middle - (middle - view.first) * factor, middle + (view.last - middle) * factor);
}
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(event.deltaY * 0.0015), frameOf(event.clientX - canvas.getBoundingClientRect().left));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const span = view.last - view.first, middle = (view.first + view.last) / 2;
  const actions = {
    ArrowLeft: () => zoomTo(view.first - span / 5, view.last - span / 5),
    ArrowRight: () => zoomTo(view.first + span / 5, view.last + span / 5),
    "+": () => zoomBy(0.5, middle), "=": () => zoomBy(0.5, middle), "-": () => zoomBy(2, middle),
    Home: () => zoomTo(0, view.frames),
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});
window.addEventListener("resize", redraw);

// ------------------------------------------------------------------ tables and curves
function panel(parent, model, m) {
  const element = add(parent, "div");
  if (models.length > 1) add(element, "h3", `${m + 1}: ${model.name}`);
  return element;
}

function drawScores(model, m) {
  const element = panel(byId("scores"), model, m);
  if (model.note) add(element, "p", model.note, { class: "note" });
  const splits = Object.entries(model.scores);
  if (!splits.length) { add(element, "p", "Nothing to score: no hand labels."); return; }
  table(element, ["", "frames", "macro-F1", "accuracy", "edit", "F1@0.10", "F1@0.25", "F1@0.50"],
    splits.map(([split, s]) => [split, s.frames, number(s.macro_f1), number(s.accuracy), number(s.edit),
      ...["0.10", "0.25", "0.50"].map((k) => number((s.segment_f1 || {})[k]))]));
  const [split, scores] = splits.find(([name]) => name === "test") || splits.find(([name]) => name === "val") || splits[0];
  add(element, "h3", `${split}, by class`);
  const unit = model.fps ? "s" : "frames";
  const body = table(element, ["", "precision", "recall", "F1", "avg. precision", "bouts true", "predicted", `median true, ${unit}`, "predicted"],
    Object.entries(scores.classes).map(([name, s]) => ["", number(s.precision), number(s.recall), number(s.f1), number(s.average_precision),
      ...["bouts", "median"].flatMap((k) => [s.true_bouts, s.predicted_bouts].map((bouts) => (bouts ? number(bouts[k], k === "median" ? 2 : 0) : "–")))]));
  Object.keys(scores.classes).forEach((name, i) => {
    const cell = body.rows[i].cells[0];
    add(cell, "i", null, { class: "box", style: `background:${model.colours[model.classes.indexOf(name)]}` });
    cell.append(name);
  });
  const s = model.smoothing;
  add(element, "p", s.method ? `Smoothed: ${Object.values(s).join(", ")}.` : "Not smoothed.", { class: "hint" });
}

function drawWorst(model, m) {
  const element = panel(byId("worst"), model, m);
  if (!model.worst.length) { add(element, "p", "None."); return; }
  const body = table(element, ["session", "class", "start", "length", "wrong", "taken for"], model.worst.map((bout) => [
    bout.session, model.classes[bout.class], time(bout.start, model.fps), time(bout.stop - bout.start, model.fps).replace("frame ", ""),
    `${Math.round((100 * bout.wrong) / (bout.stop - bout.start))}%`, model.classes[bout.taken_for]]));
  model.worst.forEach((bout, i) => {
    const row = body.rows[i];
    row.className = "go";
    row.tabIndex = 0;
    const go = () => {
      view.model = m;
      byId("model").value = m;
      const margin = Math.max(bout.stop - bout.start, 20);
      show(bout.session, bout.start - margin, bout.stop + margin);
      byId("ethogram").scrollIntoView({ behavior: "smooth" });
    };
    row.addEventListener("click", go);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  });
}

function drawConfusion(model, m) {
  const found = ["test", "val", "train"].map((split) => [split, model.scores[split]]).find(([, s]) => s && s.confusion);
  const element = panel(byId("confusion"), model, m);
  if (!found) { add(element, "p", "–"); return; }
  const [split, { confusion }] = found;
  add(element, "p", `${split}; rows true, columns predicted`, { class: "hint" });
  const rows = model.classes.map((_, c) => c).filter((c) => c !== model.background);
  const columns = model.classes.map((_, c) => c).filter((c) => c !== model.background || confusion.some((row) => row[c]));
  const body = table(element, ["", ...columns.map((c) => model.classes[c])], []);
  rows.forEach((r) => {
    const row = add(body, "tr");
    add(row, "td", model.classes[r]);
    const total = confusion[r].reduce((a, b) => a + b, 0) || 1;
    columns.forEach((c) => {
      const share = confusion[r][c] / total;
      add(row, "td", share.toFixed(2), { class: "cell", title: `${confusion[r][c]} frames`,
        style: `background:rgba(51,34,136,${(0.85 * share).toFixed(3)});color:${share > 0.5 ? "#fff" : "#111"}` });
    });
  });
}

function drawTraining(model, m) {
  const element = panel(byId("curves"), model, m);
  const metrics = [...new Set(model.curves.map((curve) => curve.metric))];
  if (!metrics.length) add(element, "p", "No metrics.csv.");
  for (const metric of metrics) {
    const curves = model.curves.filter((curve) => curve.metric === metric && curve.values.length);
    if (!curves.length) continue;
    const xs = curves.flatMap((curve) => curve.epochs), ys = curves.flatMap((curve) => curve.values);
    const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1), y0 = Math.min(0, ...ys), y1 = Math.max(...ys, y0 + 1e-9);
    const W = 340, H = 170;
    const x = (v) => 42 + ((v - x0) / (x1 - x0)) * (W - 54), y = (v) => H - 24 - ((v - y0) / (y1 - y0)) * (H - 44);
    const make = (parent, tag, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      if (text !== undefined) node.textContent = text;
      parent.append(node);
    };
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", W); svg.setAttribute("height", H);
    svg.setAttribute("role", "img"); svg.setAttribute("aria-label", `${metric} over epochs`);
    element.append(svg);
    make(svg, "text", { x: 42, y: 12 }, metric);
    make(svg, "path", { d: `M42 ${H - 24}H${W - 12}M42 ${H - 24}V20`, stroke: "#999", fill: "none" });
    make(svg, "text", { x: 38, y: y(y1) + 4, "text-anchor": "end" }, Number(y1.toPrecision(3)));
    make(svg, "text", { x: 38, y: H - 24, "text-anchor": "end" }, Number(y0.toPrecision(3)));
    make(svg, "text", { x: x(x1), y: H - 8, "text-anchor": "end" }, `epoch ${x1}`);
    const colours = { train: "#999933", val: "#332288", test: "#CC6677" };
    curves.forEach((curve, i) => {
      const colour = colours[curve.split] || "#000";
      const points = curve.epochs.map((epoch, k) => `${x(epoch).toFixed(1)},${y(curve.values[k]).toFixed(1)}`);
      if (points.length > 1) make(svg, "polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 1.6 });
      else make(svg, "circle", { cx: x(curve.epochs[0]), cy: y(curve.values[0]), r: 3, fill: colour });
      make(svg, "text", { x: W - 60, y: 14 + 13 * i, style: `fill:${colour}` }, curve.split);
    });
  }
  if (model.best_epoch !== null && model.best_epoch !== undefined) add(element, "p", `The weights are those after epoch ${model.best_epoch}.`, { class: "hint" });
}

function drawSettings() {
  const names = [...new Set(models.flatMap((model) => Object.keys(model.settings)))];
  const rows = names.map((name) => [name, ...models.map((model) => model.settings[name] ?? "–")]);
  const body = table(byId("settings"), ["key", ...models.map((model, m) => (models.length > 1 ? `${m + 1}: ${model.name}` : model.name))], rows);
  rows.forEach((row, i) => { if (new Set(row.slice(1)).size > 1) body.rows[i].className = "differs"; });
}

// ------------------------------------------------------------------ begin
byId("subtitle").textContent = models.map((model) => model.name).join(", ");
sessions.forEach((id) => add(byId("session"), "option", id, { value: id }));
models.forEach((model, m) => add(byId("model"), "option", models.length > 1 ? `${m + 1}: ${model.name}` : model.name, { value: m }));
models[0].classes.forEach((name, c) => {
  const item = add(byId("legend"), "span");
  add(item, "i", null, { class: "box", style: `background:${models[0].colours[c]}` });
  item.append(name);
});
byId("session").addEventListener("change", (event) => show(event.target.value));
byId("model").addEventListener("change", (event) => {
  view.model = Number(event.target.value);
  show(view.session, view.first, view.last);
});
byId("whole").addEventListener("click", () => zoomTo(0, view.frames));
models.forEach((model, m) => { drawScores(model, m); drawWorst(model, m); drawConfusion(model, m); drawTraining(model, m); });
drawSettings();
/** A link may end in #session/first/last, in frames. */
function showLinked() {
  const [id, first, last] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (sessions.includes(id)) show(id, first && Number(first), last && Number(last));
  return sessions.includes(id);
}
window.addEventListener("hashchange", showLinked);
if (sessions.length && !showLinked()) show(models[0].worst.length ? models[0].worst[0].session : sessions[0]);
document.body.dataset.ready = "yes";
