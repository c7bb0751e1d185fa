// Everything but the ethogram: scores, sessions, budgets, bouts, confusion, curves, settings.
const nameOf = (m) => (models.length > 1 ? `${m + 1}: ${models[m].name}` : models[m].name);
/** The split whose score stands for a model; null without hand labels. */
const shownSplit = (model) => Object.keys(model.scores)[0] || null;
const spreadOf = (scores) => ((scores && scores.by_session) || {}).macro_f1 || null;

/** A score of whole videos and how much it differs between them, in a sentence. */
function wordsOf({ macro_f1: score, title, sessions: n, spread, pooled }) {
  if (!spread) return `macro-F1 ${number(score)} of a single video (${title}), so without a spread.`;
  return `macro-F1 ${number(score)}, the mean of ${n} ${title}: SD ${number(spread.sd)}, lowest ${number(spread.lowest)}, highest ${number(spread.highest)}. All their frames together give ${number(pooled)}.`;
}
/** The score that stands for a model, or why there is none. */
function headline({ headline: found, before }) {
  const lines = [found.why ? `No score of videos that this training has not seen: ${found.why}.` : wordsOf(found)];
  if (before) lines.push(`When it was trained, the model had ${wordsOf(before)}`);
  return lines;
}

/** The glossary, for those who read on paper or by ear. */
function showWords() {
  for (const [word, meaning] of Object.entries(GLOSSARY)) {
    add(byId("words"), "dt", word);
    add(byId("words"), "dd", meaning);
  }
}
function showTop() {
  const [model] = models;
  if (!model) return;
  const title = model.data ? `Behaviour report: ${model.data}` : "Behaviour report";
  document.title = title;
  byId("title").textContent = title;
  byId("subtitle").textContent = `${made}, daart_fast ${version}; ${models.length > 1 ? `${models.length} models` : `model ${model.name}`}`;
}
/** The score of the model chosen. */
function showHeadline(model) {
  byId("headline").replaceChildren();
  const whose = models.length > 1 ? `${nameOf(view.model)}: ` : "";
  headline(model).forEach((line) => add(byId("headline"), "p", whose + line));
}
/** What nobody must miss: the cautions and notes of all models, each once, with the models that they are of. */
function showCautions() {
  const found = new Map();
  models.forEach((model, m) => [model.note, ...model.cautions].filter(Boolean).forEach((sentence) => {
    found.set(sentence, [...(found.get(sentence) || []), m]);
  }));
  if (!found.size) return;
  add(byId("cautions"), "h2", "Read this first");
  const list = add(byId("cautions"), "ul");
  for (const [sentence, whose] of found) {
    const which = whose.length < models.length ? `${whose.map(nameOf).join(", ")}: ` : "";
    add(list, "li", which + sentence[0].toUpperCase() + sentence.slice(1) + (sentence.endsWith(".") ? "" : "."));
  }
}

function showModels() {
  if (models.length < 2) { byId("choice").hidden = true; return; }
  const section = byId("models");
  section.hidden = false;
  const keys = [...new Set(models.flatMap((model) => Object.keys(model.settings)))]
    .filter((key) => new Set(models.map((model) => model.settings[key])).size > 1);
  const best = (model) => model.scores[shownSplit(model)] || {};
  const rows = models.map((model, m) => {
    const scores = best(model), spread = spreadOf(scores), split = shownSplit(model);
    return [nameOf(m), split ? model.titles[split][0] : "–", number(spread ? spread.mean : scores.macro_f1),
      ...["sd", "lowest", "highest"].map((key) => number(spread && spread[key])), ...keys.map((key) => model.settings[key] ?? "–")];
  });
  const body = table(section.querySelector(".wide"),
    ["model", "scored on", join(term("macro-F1"), ", mean of sessions"), term("SD"), "lowest", "highest", ...keys], rows);
  models.forEach((_, m) => clickable(body.rows[m], () => choose(m)));
}

/** Show another model's scores, bouts, curves and settings. */
function choose(m) {
  view.model = m;
  byId("model").value = m;
  document.querySelectorAll("#models tbody tr").forEach((row, i) => row.classList.toggle("chosen", i === m));
  const parts = { scores: showScores, sessions: showSessions, budgets: showBudgets, worst: showWorst, confusion: showConfusion, curves: showTraining, settings: showSettings };
  for (const [id, part] of Object.entries(parts)) {
    byId(id).replaceChildren();
    part(models[m], byId(id));
  }
  showHeadline(models[m]);
  fillSessions();
  if (view.session) show(find(m, view.session) < 0 ? firstSession(models[m]) : view.session, view.first, view.last);
}
/** What the training had a session for. */
const roleOf = ({ split }) => ROLES[split] || "–";
/** The session that is shown first: one that was not trained on, if there is one. */
const firstSession = (model) => byRole(model)[0].id;
/** List the sessions with their roles in the training of the model chosen, then those that it did not have. */
function fillSessions() {
  const select = byId("session"), known = byRole(models[view.model]);
  select.replaceChildren();
  for (const session of known) add(select, "option", `${session.id} (${roleOf(session)})`, { value: session.id });
  sessions.filter((id) => find(view.model, id) < 0).forEach((id) => add(select, "option", id, { value: id }));
  if (view.session !== null) select.value = view.session;
}

function showScores(model, parent) {
  const splits = Object.entries(model.scores);
  if (!splits.length) { add(parent, "p", "Nothing to score: no hand labels."); return; }
  const overlaps = ["0.10", "0.25", "0.50"], more = model.several ? [] : ["accuracy", "edit", ...overlaps.map((k) => `F1@${k}`)];
  table(parent, ["", ...["frames", "macro-F1", ...more].map(term)], splits.map(([split, s]) => [
    model.titles[split][1], s.frames, number(s.macro_f1),
    ...(model.several ? [] : [s.accuracy, s.edit, ...overlaps.map((k) => (s.segment_f1 || {})[k])].map((value) => number(value)))]));
  const [split, scores] = splits[0];
  add(parent, "h3", `${model.titles[split][0]}, by class`);
  showClasses(model, scores, parent);
  if (!scores.whole_sessions) {
    add(parent, "p", "No scores of bouts: these frames are pieces of sessions, and bouts are cut where pieces end.", { class: "hint" });
  }
  const { method, ...values } = model.smoothing;
  const how = Object.entries(values).map(([name, value]) => `, ${name} ${value}`).join("");
  add(parent, "p", method ? `Predicted classes are smoothed: ${method}${how}.` : "Predicted classes are not smoothed.", { class: "hint" });
}
function showClasses(model, scores, parent) {
  const unit = model.fps ? "s" : "frames";
  const head = ["", term("precision"), term("recall"), term("F1"), term("average precision"),
    "labelled bouts", "predicted bouts", `median labelled bout, ${unit}`, `median predicted bout, ${unit}`];
  table(parent, head, Object.entries(scores.classes).map(([name, s]) => {
    const labelled = s.true_bouts || {}, predicted = s.predicted_bouts || {};
    return [named(model, name), number(s.precision), number(s.recall), number(s.f1), number(s.average_precision),
      labelled.bouts ?? "–", predicted.bouts ?? "–", number(labelled.median, 2), number(predicted.median, 2)];
  }));
}
/** A cell with a class's colour and name. */
function named(model, name) {
  return (cell) => { addBox(cell, model.colours[model.classes.indexOf(name)]); cell.append(name); };
}

function showSessions(model, parent) {
  const classes = model.classes.filter((_, c) => c !== model.background);
  const listed = byRole(model);
  const rows = listed.map((session) => {
    const split = SPLITS.find((name) => name in session.scores);
    const scores = session.scores[split] || { f1: {} };
    const role = roleOf(session);
    const of = split && split !== session.split ? `${role}; scored on ${model.titles[split][0]}` : term(role);
    return [session.id, of, scores.frames ?? "–", number(scores.macro_f1), ...classes.map((name) => number(scores.f1[name]))];
  });
  const body = table(parent, ["session", "used as", term("frames"), term("macro-F1"), ...classes.map((name) => `F1 ${name}`)], rows);
  listed.forEach((session, i) => clickable(body.rows[i], () => {
    show(session.id);
    byId("ethogram").scrollIntoView({ behavior: "smooth" });
  }));
}

function showBudgets(model, parent) {
  const rows = model.time_budget;
  if (!rows.length) { add(parent, "p", "–"); return; }
  const unit = model.fps ? "s" : "frames";
  const widest = Math.max(...rows.map((row) => row[2]), 1e-9);
  const bar = (name, share) => (cell) => {
    cell.className = "bar";
    add(cell, "span", null, { style: `width:${((100 * share) / widest).toFixed(1)}%;background:${model.colours[model.classes.indexOf(name)]}` });
  };
  const details = rows.length > 40 ? add(parent, "details") : parent;
  if (details !== parent) add(details, "summary", `${rows.length} rows`);
  table(details, ["session", "class", "", term("share"), `total, ${unit}`, "bouts", `mean bout, ${unit}`],
    rows.map(([session, name, share, total, bouts, mean], i) => [
      i && rows[i - 1][0] === session ? "" : session, named(model, name), bar(name, share), percent(share), number(total, 1), bouts ?? "–", number(mean, 2)]));
  const button = add(parent, "button", "save as csv", { type: "button" });
  button.addEventListener("click", () => saveBudgets(rows, unit));
}
function saveBudgets(rows, unit) {
  const quoted = (cell) => (/[",\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : cell ?? "");
  const lines = [["session", "class", "share", `total_${unit}`, "bouts", `mean_bout_${unit}`], ...rows].map((row) => row.map(quoted).join(","));
  const link = add(document.body, "a", null, { download: "time_budget.csv" });
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  link.click();
  link.remove();
}

function showWorst(model, parent) {
  const split = shownSplit(model);
  byId("worst-section").hidden = !split || model.several;
  if (split && !model.scores[split].whole_sessions) {
    add(parent, "p", `None are listed: ${model.titles[split][0]} cut bouts where the pieces end.`);
    return;
  }
  if (!model.worst.length) { add(parent, "p", "Every frame of every labelled bout is predicted right."); return; }
  add(parent, "p", `Labelled bouts with the most frames predicted wrong, of ${model.titles[split][0]}. Click one to see it in the ethogram.`, { class: "hint" });
  const body = table(parent, ["session", "class", "start", `length${model.fps ? "" : ", frames"}`, "wrong", "taken for"], model.worst.map((bout) => [
    bout.session, model.classes[bout.class], time(bout.start + sessionOf(model, bout.session).shift, model.fps), duration(bout.stop - bout.start, model.fps),
    `${Math.round((100 * bout.wrong) / (bout.stop - bout.start))}%`, model.classes[bout.taken_for]]));
  model.worst.forEach((bout, i) => clickable(body.rows[i], () => {
    const margin = Math.max(bout.stop - bout.start, 20);
    show(bout.session, bout.start - margin, bout.stop + margin);
    byId("ethogram").scrollIntoView({ behavior: "smooth" });
  }));
}

function showConfusion(model, parent) {
  const split = shownSplit(model), { confusion } = model.scores[split] || {};
  byId("confusion-section").hidden = !confusion;
  if (!confusion) return;
  add(parent, "p", `${model.titles[split][0]}; rows are labelled, columns predicted: shares of each row, and frames`, { class: "hint" });
  const rows = model.classes.map((_, c) => c).filter((c) => c !== model.background);
  const columns = model.classes.map((_, c) => c).filter((c) => c !== model.background || confusion.some((row) => row[c]));
  const body = table(parent, ["", ...columns.map((c) => model.classes[c])], []);
  rows.forEach((r) => {
    const row = add(body, "tr");
    add(row, "th", model.classes[r], { scope: "row" });
    const total = confusion[r].reduce((a, b) => a + b, 0);
    columns.forEach((c) => {
      const share = total ? confusion[r][c] / total : 0;
      const cell = add(row, "td", total ? share.toFixed(2) : "–", { class: "cell",
        style: `background:rgba(51,34,136,${(0.85 * share).toFixed(3)});color:${share > 0.5 ? "#fff" : "#111"}` });
      add(cell, "small", confusion[r][c]);
    });
  });
}

/** Losses by name, without those that are equal to one before them. */
function lossesOf(model) {
  const shown = new Map();
  for (const metric of new Set(model.curves.map((curve) => curve.metric))) {
    const curves = model.curves.filter((curve) => curve.metric === metric && curve.values.length);
    const key = JSON.stringify(curves.map((curve) => [curve.split, curve.values]));
    if (curves.length && !shown.has(key)) shown.set(key, [metric, curves]);
  }
  return [...shown.values()];
}
function showTraining(model, parent) {
  const losses = lossesOf(model);
  if (!losses.length) { add(parent, "p", "No metrics.csv."); return; }
  const side = add(parent, "div", null, { class: "side" });
  for (const [metric, curves] of losses) drawLoss(add(side, "div"), metric, curves, model.best_epoch);
  if (model.best_epoch !== null && model.best_epoch !== undefined) {
    add(parent, "p", `The dotted line is epoch ${model.best_epoch}, whose weights are kept.`, { class: "hint" });
  }
}
function drawLoss(parent, metric, curves, best) {
  const W = 340, H = 180, colours = { train: "#999933", val: "#332288", test: "#CC6677" };
  const xs = curves.flatMap((curve) => curve.epochs), ys = curves.flatMap((curve) => curve.values);
  const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1), y0 = Math.min(0, ...ys), y1 = Math.max(...ys, y0 + 1e-9);
  const x = (v) => 42 + ((v - x0) / (x1 - x0)) * (W - 54), y = (v) => H - 34 - ((v - y0) / (y1 - y0)) * (H - 54);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const make = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    svg.append(node);
  };
  for (const [name, value] of Object.entries({ width: W, height: H, viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${metric} over epochs` })) svg.setAttribute(name, value);
  parent.append(svg);
  make("text", { x: 42, y: 12 }, metric);
  make("path", { d: `M42 ${H - 34}H${W - 12}M42 ${H - 34}V20`, stroke: "#999", fill: "none" });
  make("text", { x: 38, y: y(y1) + 4, "text-anchor": "end" }, Number(y1.toPrecision(3)));
  make("text", { x: 38, y: H - 34, "text-anchor": "end" }, Number(y0.toPrecision(3)));
  make("text", { x: x(x0), y: H - 20, "text-anchor": "middle" }, x0);
  make("text", { x: x(x1), y: H - 20, "text-anchor": "end" }, x1);
  make("text", { x: W / 2, y: H - 4, "text-anchor": "middle" }, "epoch");
  if (best !== null && best !== undefined && best >= x0 && best <= x1) {
    make("path", { d: `M${x(best).toFixed(1)} ${H - 34}V20`, stroke: "#555", "stroke-dasharray": "2 3", fill: "none" });
  }
  curves.forEach((curve, i) => {
    const colour = colours[curve.split] || "#000";
    const points = curve.epochs.map((epoch, k) => `${x(epoch).toFixed(1)},${y(curve.values[k]).toFixed(1)}`);
    if (points.length > 1) make("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 1.6 });
    else make("circle", { cx: x(curve.epochs[0]), cy: y(curve.values[0]), r: 3, fill: colour });
    make("text", { x: W - 70, y: 14 + 13 * i, style: `fill:${colour}` }, { train: "training", val: "validation", test: "test" }[curve.split] || curve.split);
  });
}

function showSettings(model, parent) {
  const chosen = table(parent, ["key", "value"], model.chosen.map((name) => [name, model.settings[name]]));
  if (models.length > 1) {
    model.chosen.forEach((name, i) => {
      if (new Set(models.map((other) => other.settings[name])).size > 1) chosen.rows[i].className = "differs";
    });
  }
  const details = add(parent, "details");
  add(details, "summary", "keys that have their default");
  table(details, ["key", "value"], Object.entries(model.settings).filter(([name]) => !model.chosen.includes(name)));
}
