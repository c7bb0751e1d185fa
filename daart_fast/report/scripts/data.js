"use strict";
// What the report holds, and helpers that every part of the page uses.
const { models, made, version } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function add(parent, tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}
function addBox(parent, colour) {
  return add(parent, "i", null, { class: "box", style: `background:${colour}` });
}

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const percent = (share) => `${(100 * share).toFixed(1)}%`;

/** Seconds as m:ss.ss or h:mm:ss.ss. */
function clock(seconds, digits = 2) {
  const whole = Math.floor(seconds), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
  const s = (seconds - 60 * Math.floor(whole / 60)).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}
const time = (frame, fps) => (fps ? clock(frame / fps) : `frame ${Math.round(frame)}`);
const duration = (frames, fps) => (fps ? `${(frames / fps).toFixed(2)} s` : `${frames}`);

const sessionOf = (model, id) => model.sessions.find((session) => session.id === id);

/** A cell is a text, a number, or a function that fills the cell. */
function fill(cell, content) {
  if (typeof content === "function") content(cell); else cell.textContent = content;
}
/** A cell of several contents. */
const join = (...contents) => (cell) => contents.forEach((content) => {
  if (typeof content === "function") content(cell); else cell.append(content);
});
function table(parent, head, rows) {
  const element = add(add(parent, "div", null, { class: "wide" }), "table");
  const top = add(add(element, "thead"), "tr");
  head.forEach((cell) => fill(add(top, "th", null, { scope: "col" }), cell));
  const body = add(element, "tbody");
  rows.forEach((cells) => {
    const row = add(body, "tr");
    cells.forEach((cell, i) => fill(i ? add(row, "td") : add(row, "th", null, { scope: "row" }), cell));
  });
  return body;
}
/** Let a click or the Enter key on a row do something. */
function clickable(row, go) {
  row.classList.add("go");
  row.tabIndex = 0;
  row.addEventListener("click", go);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
}

const GLOSSARY = {
  "frames": "Frames with a hand label that is scored.",
  "macro-F1": "The mean of the classes' F1: rare behaviours weigh as much as common ones. F1 is 2 x precision x recall / (precision + recall).",
  "accuracy": "The share of scored frames whose class is predicted right. Common behaviours dominate it.",
  "edit": "How much the order of bouts agrees, whatever their durations: 1 minus the number of bouts to insert, remove or replace, over the number of bouts. 1 is perfect.",
  "F1@0.10": "F1 of bouts: a predicted bout counts if it overlaps a labelled one of its class by 10% of what both cover.",
  "F1@0.25": "F1 of bouts: a predicted bout counts if it overlaps a labelled one of its class by 25% of what both cover.",
  "F1@0.50": "F1 of bouts: a predicted bout counts if it overlaps a labelled one of its class by 50% of what both cover.",
  "precision": "Of the frames predicted as this class, the share that is labelled so.",
  "recall": "Of the frames labelled as this class, the share that is predicted so.",
  "F1": "The harmonic mean of precision and recall.",
  "average precision": "The mean precision over all thresholds on the probability of this class. 1 is perfect; a useless model gets the class's share of the frames.",
  "SD": "The standard deviation over sessions.",
  "share": "The share of the session's frames that were predicted as this class.",
  "held out": "Whole videos that the training did not have, and that no choice was made on. Their scores say how good the model is on new videos.",
  "validation": "Frames by which the training chose when to stop. Their scores are higher than those of new videos will be.",
  "trained on": "Frames that the model learned from. Their scores say nothing about new videos.",
  "new": "Videos that were predicted after the training, which did not have them.",
  "not scored": "Frames without a hand label, or labelled as background: nobody said what happens there. They count neither for nor against the model.",
};
/** A word whose meaning shows on hover, focus and tap. */
function term(word) {
  return (cell) => {
    if (!GLOSSARY[word]) { cell.append(word); return; }
    const button = add(cell, "button", word, { class: "term", type: "button", "aria-label": `${word}: ${GLOSSARY[word]}` });
    for (const name of ["mouseenter", "focus", "click"]) button.addEventListener(name, () => explain(button, GLOSSARY[word]));
    for (const name of ["mouseleave", "blur"]) button.addEventListener(name, hideMeaning);
  };
}
/** Show a meaning under its word, within the window: a table that scrolls would cut it off. */
function explain(word, meaning) {
  const tip = byId("meaning"), at = word.getBoundingClientRect();
  tip.textContent = meaning;
  tip.hidden = false;
  const below = at.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? at.bottom + 6 : at.top - 6 - tip.offsetHeight}px`;
}
function hideMeaning() { byId("meaning").hidden = true; }
window.addEventListener("scroll", hideMeaning, { passive: true, capture: true });
window.addEventListener("keydown", (event) => { if (event.key === "Escape") hideMeaning(); });

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
