// The ethogram: rows of bouts, probabilities, an axis and a map, drawn on one canvas.
const canvas = byId("canvas"), tip = byId("tip"), pen = canvas.getContext("2d");
const ROW = 22, GAP = 5, BAND = 7, CURVE = 150, AXIS = 24, MAP = 20, FINE = 40000;
const UNSCORED = "#dddddd", FRAME = "#bbbbbb", SPLIT_COLOURS = { new: "#0077bb", test: "#0077bb", val: "#33bbee", train: "#555555" };
const SPLITS = ["new", "test", "val", "train"];  // their numbers in a session's `splits`
const ROLES = { new: "new", test: "held out", val: "validation", train: "trained on" };
const view = { session: null, rows: [], band: null, probabilities: null, model: 0, first: 0, last: 1, frames: 1, pointer: null };
const cache = new Map();

function once(key, make) {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
}

/** All sessions of all models, by name. */
const sessions = [...new Set(models.flatMap((model) => model.sessions.map((session) => session.id)))];
const find = (m, id) => models[m].sessions.findIndex((session) => session.id === id);

/** A model's sessions by what the training had them for: those whose scores say most first. */
const byRole = (model) => [...model.sessions].sort((a, b) => SPLITS.indexOf(a.split) - SPLITS.indexOf(b.split));
const isScored = (model, value) => value >= 0 && value !== model.background;

/** A row of one class a frame. */
function rowOfClasses(title, model, runs, isTruth) {
  const scored = (value) => !isTruth || isScored(model, value);
  return {
    title, model, runs,
    colour: (value) => (scored(value) ? model.colours[value] : UNSCORED),
    name: (value) => (scored(value) ? model.classes[value] : "not scored"),
  };
}
/** A row of one behaviour that is there or not. */
function rowOfBehaviour(title, model, runs, track) {
  return {
    title, model, runs,
    colour: (value) => (value === 1 ? model.colours[track] : value < 0 ? UNSCORED : null),
    name: (value) => (value === 1 ? model.classes[track] : value < 0 ? "not scored" : "–"),
  };
}

function rowsOf(id) {
  const rows = [];
  models.forEach((model, m) => {
    const s = find(m, id);
    if (s < 0) return;
    const session = model.sessions[s], number = models.length > 1 ? ` (${m + 1})` : "";
    const push = (kind, tracks, isTruth) => tracks.forEach((track, t) => {
      if (model.several && t === model.background) return;
      const runs = once(`${kind}${m}-${s}-${t}`, () => new Runs(track));
      const title = isTruth ? "hand labels" : `predicted${number}`;
      rows.push(model.several
        ? rowOfBehaviour(isTruth ? `hand: ${model.classes[t]}` : model.classes[t] + number, model, runs, t)
        : rowOfClasses(title, model, runs, isTruth));
    });
    if (session.truth && !rows.some((row) => row.title.startsWith("hand"))) push("t", session.truth, true);
    push("p", session.predicted, false);
  });
  return rows;
}

/** The band that says which frames were trained on, of the model chosen. */
function bandOf(m, s) {
  const { splits } = models[m].sessions[s];
  if (!splits) return null;
  return {
    runs: once(`s${m}-${s}`, () => new Runs(splits)),
    colour: (value) => (value < 0 ? null : SPLIT_COLOURS[SPLITS[value]]),
    name: (value) => (value < 0 ? "left out" : models[m].titles[SPLITS[value]][0]),
  };
}

function show(id, first, last) {
  if (view.session !== id) {
    view.session = id;
    view.rows = rowsOf(id);
    byId("session").value = id;
    if (find(view.model, id) < 0) {
      choose(models.findIndex((_, m) => find(m, id) >= 0));
    }
  }
  const m = view.model, s = find(m, id);
  view.probabilities = once(`q${m}-${s}`, () => new Probabilities(models[m], models[m].sessions[s], `fine-${m}-${s}`));
  view.band = bandOf(m, s);
  view.frames = models[m].sessions[s].frames;
  view.number = models[m].sessions[s].first_frame;  // of the first frame, as the inputs count them
  view.shift = models[m].sessions[s].shift;
  const height = view.rows.length * (ROW + GAP) + (view.band ? BAND + GAP : 0) + CURVE + AXIS + MAP + 10;
  byId("plot").style.height = `${height}px`;
  showLegend();
  zoomTo(first === undefined ? 0 : first, last === undefined ? view.frames : last);
}

/** Name every colour that is drawn, and no other. */
function showLegend() {
  const model = models[view.model], legend = byId("legend");
  legend.replaceChildren();
  const entry = (colour, text) => { const item = add(legend, "span"); addBox(item, colour); if (typeof text === "function") text(item); else item.append(text); };
  model.classes.forEach((name, c) => { if (c !== model.background) entry(model.colours[c], name); });
  const drawn = (tracks, test) => model.sessions.some((session) => (session[tracks] || []).some(([values]) => values.some(test)));
  if (!model.several && drawn("predicted", (value) => value === model.background)) {
    entry(UNSCORED, `predicted ${model.classes[model.background]}`);
  }
  const blank = model.several ? (value) => value < 0 : (value) => !isScored(model, value);
  if (drawn("truth", blank)) entry(UNSCORED, term("not scored"));
  const used = new Set(view.band ? view.band.runs.classes : []);
  SPLITS.forEach((split, number) => { if (used.has(number)) entry(SPLIT_COLOURS[split], model.titles[split][0]); });
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

/** Room for the rows' titles, and to the right: less in a narrow window. */
const isNarrow = () => canvas.clientWidth < 600;
const left = () => (isNarrow() ? 82 : 150);
const width = () => canvas.clientWidth - left() - (isNarrow() ? 8 : 26);
const xOf = (frame) => left() + ((frame - view.first) / (view.last - view.first)) * width();
const frameOf = (x) => view.first + ((x - left()) / width()) * (view.last - view.first);

function drawRuns(row, top, height, first, last, x) {
  const { runs } = row, from = left(), to = from + width();
  const begin = runs.at(Math.max(first, 0)), end = runs.at(Math.max(last - 1, 0));
  const paint = (value, start, stop) => {
    const colour = row.colour(value);
    if (colour === null) return;
    pen.fillStyle = colour;
    pen.fillRect(start, top, Math.max(stop - start, 0.5), height);
  };
  if (end - begin < 3 * width()) {
    for (let i = begin; i <= end; i++) {
      paint(runs.classes[i], Math.max(x(runs.starts[i]), from), Math.min(x(runs.starts[i + 1]), to));
    }
    return;
  }
  // more bouts than pixels: each pixel shows the bout at its middle
  const each = (last - first) / width();
  for (let pixel = 0; pixel < width(); pixel++) {
    paint(runs.classes[runs.at(first + (pixel + 0.5) * each)], from + pixel, from + pixel + 1);
  }
}

/** Points of class c's line: frames where they are few and have come, else means. */
function linePoints(c) {
  return (view.last - view.first <= FINE && finePoints(c)) || coarsePoints(c);
}
/** Means over as many frames as half a pixel has; null while a chunk is being unpacked. */
function finePoints(c) {
  const { probabilities: p } = view, { chunk } = p.model, points = [];
  const step = Math.max(1, Math.floor((view.last - view.first) / (2 * width())));
  const begin = Math.floor(view.first / step) * step;  // means are of the same frames wherever the view begins
  const end = Math.min(Math.ceil(view.last) + 1, view.frames);
  let complete = true;
  for (let i = Math.floor(begin / chunk); i <= Math.floor((end - 1) / chunk); i++) {
    if (!p.chunk(i, redraw)) complete = false;
  }
  if (!complete) return null;
  for (let t = begin; t < end; t += step) {
    let sum = 0, n = 0;
    for (let k = t; k < Math.min(t + step, end); k++, n++) sum += p.chunks.get(Math.floor(k / chunk))[(k % chunk) * p.n + c];
    if (n) points.push([t + step / 2, sum / n / 255]);
  }
  return points;
}
function coarsePoints(c) {
  const { probabilities: p } = view, { block } = p.model, points = [];
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
  fitCanvas();
  let top = 4;
  for (const row of view.rows) {
    drawRuns(row, top, ROW, view.first, view.last, xOf);
    pen.strokeStyle = FRAME;
    pen.strokeRect(left() - 0.5, top - 0.5, width() + 1, ROW + 1);
    drawTitle(row.title, top + ROW / 2);
    top += ROW + GAP;
  }
  if (view.band) {
    drawRuns(view.band, top, BAND, view.first, view.last, xOf);
    drawTitle("used as", top + BAND / 2);
    top += BAND + GAP;
  }
  drawCurves(top);
  top += CURVE;
  drawAxis(top);
  drawMap(top + AXIS);
  const { fps } = view.probabilities.model;
  byId("where").textContent = `${timeOf(view.first, fps)} to ${timeOf(view.last, fps)} of ${timeOf(view.frames, fps)}`;
  drawCursor(top);
}

/** Time in the video, or the frame's number, of a frame that is counted from the session's first. */
const timeOf = (frame, fps) => time(frame + view.shift, fps);

function fitCanvas() {
  const scale = Math.max(window.devicePixelRatio || 1, document.body.classList.contains("printing") ? 2 : 1);
  const w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
    canvas.width = Math.round(w * scale);
    canvas.height = Math.round(h * scale);
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, w, h);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.lineWidth = 1;
}

/** Write a row's title, cut off where it does not fit. */
function drawTitle(text, y, gap = 8) {
  const room = left() - gap - 4;
  let shown = text;
  while (shown.length > 1 && pen.measureText(shown).width > room) shown = `${shown.replace(/…$/, "").slice(0, -1)}…`;
  pen.fillStyle = "#333";
  pen.textAlign = "right";
  pen.fillText(shown, left() - gap, y);
}

function drawCurves(top) {
  const { model } = view.probabilities;
  const bottom = top + CURVE - 6, height = CURVE - 14;
  pen.strokeStyle = FRAME;
  pen.strokeRect(left(), bottom - height, width(), height);
  drawTitle("probability", bottom - height / 2);
  drawTitle("1", bottom - height + 4);
  drawTitle("0", bottom - 4);
  pen.save();
  pen.beginPath();
  pen.rect(left(), bottom - height - 1, width(), height + 2);
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

const SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
/** How far apart the axis' ticks are: some 90 pixels. */
function tickStep(span, fps) {
  const rough = span / Math.max(width() / 90, 2);
  if (fps) return SECONDS.find((step) => step >= rough) || 86400 * Math.ceil(rough / 86400);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((f) => f * power >= rough);
}
function drawAxis(top) {
  const { fps } = view.probabilities.model;
  const unit = fps || 1, step = tickStep((view.last - view.first) / unit, fps);
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  drawTitle(fps ? "min:s" : "frame", top + 7, 24);  // clear of the first tick's label
  pen.fillStyle = "#555";
  pen.textAlign = "center";
  const first = (view.first + view.shift) / unit, last = (view.last + view.shift) / unit;
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    const x = xOf(at * unit - view.shift);
    pen.fillRect(x, top - 6, 1, 5);
    const text = fps ? clock(at, digits) : String(Number(at.toPrecision(6)));
    pen.fillText(text, Math.min(x, canvas.clientWidth - pen.measureText(text).width / 2), top + 7);
  }
}

const onMap = (y) => y > canvas.clientHeight - MAP - 6;
function drawMap(top) {
  const row = view.rows[view.rows.length - 1];
  const x = (frame) => left() + (frame / view.frames) * width();
  drawRuns(row, top, MAP - 6, 0, view.frames, x);
  pen.strokeStyle = "#000";
  pen.lineWidth = 1.5;
  pen.strokeRect(x(view.first), top - 1, Math.max(x(view.last) - x(view.first), 2), MAP - 4);
  pen.lineWidth = 1;
  drawTitle(isNarrow() ? "whole" : "whole session", top + 7);
}

/** The line and the tooltip at the pointer: of what the plot shows now, however it came there. */
function drawCursor(bottom) {
  const frame = view.pointer && Math.floor(frameOf(view.pointer.x));
  const inside = view.pointer && view.pointer.x >= left() && frame >= 0 && frame < view.frames && frame < view.last && !onMap(view.pointer.y);
  tip.hidden = !inside;
  if (!inside) return;
  pen.strokeStyle = "#0008";
  pen.beginPath();
  pen.moveTo(view.pointer.x, 4);
  pen.lineTo(view.pointer.x, bottom);
  pen.stroke();
  fillTip(frame);
  const beside = view.pointer.x + 14 + tip.offsetWidth > canvas.clientWidth;
  const most = Math.max(canvas.clientWidth - tip.offsetWidth, 0);
  tip.style.left = `${Math.min(Math.max(beside ? view.pointer.x - 14 - tip.offsetWidth : view.pointer.x + 14, 0), most)}px`;
  tip.style.top = `${Math.min(view.pointer.y + 10, canvas.clientHeight - 40)}px`;
}
function fillTip(frame) {
  const { model } = view.probabilities;
  tip.replaceChildren();
  add(tip, "b", `${timeOf(frame, model.fps)}${model.fps ? ` (${((frame + view.shift) / model.fps).toFixed(2)} s, frame ${frame + view.number})` : ""}`);
  const at = (row) => row.name(row.runs.classes[row.runs.at(frame)]);
  for (const row of view.rows) add(tip, "div", `${row.title}: ${at(row)}`);
  if (view.band) add(tip, "div", `used as: ${at(view.band)}`);
  view.probabilities.at(frame, redraw).forEach((value, c) => {
    if (c === model.background) return;
    const line = add(tip, "div");
    addBox(line, model.colours[c]);
    line.append(`${model.classes[c]} ${value.toFixed(2)}`);
  });
}
