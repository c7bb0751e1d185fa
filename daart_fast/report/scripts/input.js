// Pointer, wheel and keys on the ethogram.
let drag = null, pinch = null;
const touches = new Map();  // pointers that are down, by id

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}
function zoomBy(factor, middle) {
  zoomTo(middle - (middle - view.first) * factor, middle + (view.last - middle) * factor);
}

function beginPinch() {
  const [a, b] = [...touches.values()];
  drag = null;
  pinch = { apart: Math.abs(a.x - b.x) || 1, middle: frameOf((a.x + b.x) / 2), first: view.first, last: view.last };
}
function movePinch() {
  const [a, b] = [...touches.values()];
  const factor = pinch.apart / (Math.abs(a.x - b.x) || 1);
  zoomTo(pinch.middle - (pinch.middle - pinch.first) * factor, pinch.middle + (pinch.last - pinch.middle) * factor);
}
function goToOnMap(x) {
  const middle = ((x - left()) / width()) * view.frames, half = (view.last - view.first) / 2;
  zoomTo(middle - half, middle + half);
}

canvas.addEventListener("pointerdown", (event) => {
  const point = pointOf(event);
  if (onMap(point.y)) { goToOnMap(point.x); return; }
  touches.set(event.pointerId, point);
  view.pointer = point;
  redraw();
  if (touches.size === 2) { beginPinch(); return; }
  drag = { x: event.clientX, first: view.first, last: view.last };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  view.pointer = pointOf(event);
  if (touches.has(event.pointerId)) touches.set(event.pointerId, view.pointer);
  if (pinch) { movePinch(); return; }
  if (!drag) { redraw(); return; }
  const moved = ((event.clientX - drag.x) / width()) * (drag.last - drag.first);
  zoomTo(drag.first - moved, drag.last - moved);
});
function release(event) {
  touches.delete(event.pointerId);
  drag = null;
  if (touches.size < 2) pinch = null;
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
function leave() { view.pointer = null; redraw(); }
// what a tap has shown stays, to be read
canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
canvas.addEventListener("blur", leave);
canvas.addEventListener("dblclick", () => zoomTo(0, view.frames));
// The wheel scrolls the page, unless it is meant for the plot.
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
  event.preventDefault();
  const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
  zoomBy(Math.exp(event.deltaY * lines * (event.ctrlKey ? 0.006 : 0.0015)), frameOf(pointOf(event).x));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;  // the browser's own keys
  const span = view.last - view.first, middle = (view.first + view.last) / 2;
  const actions = {
    ArrowLeft: () => zoomTo(view.first - span / 5, view.last - span / 5),
    ArrowRight: () => zoomTo(view.first + span / 5, view.last + span / 5),
    "+": () => zoomBy(0.5, middle), "=": () => zoomBy(0.5, middle), "-": () => zoomBy(2, middle),
    Home: () => zoomTo(0, view.frames), Escape: () => canvas.blur(),
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});
window.addEventListener("resize", redraw);
/** Paper has a width that is known only once it is printed: the plot keeps to one that fits. */
function setPrinting(begins) {
  document.body.classList.toggle("printing", begins);
  view.pointer = null;
  if (view.session !== null) draw();
}
window.addEventListener("beforeprint", () => setPrinting(true));
window.addEventListener("afterprint", () => setPrinting(false));
