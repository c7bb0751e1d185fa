// Fill the page, and show what the link asks for.
showTop();
showCautions();
showWords();
showModels();
models.forEach((_, m) => add(byId("model"), "option", nameOf(m), { value: m }));
byId("session").addEventListener("change", (event) => show(event.target.value));
byId("model").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("whole").addEventListener("click", () => zoomTo(0, view.frames));
if (models.length) choose(0);

/** A link may end in #session/first/last, in frames as the inputs count them. */
function showLinked() {
  const [id, first, last] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (sessions.includes(id)) {
    const start = models.map((model) => sessionOf(model, id)).find(Boolean).first_frame;
    show(id, first && Number(first) - start, last && Number(last) - start);
  }
  return sessions.includes(id);
}
window.addEventListener("hashchange", showLinked);
if (sessions.length && !showLinked()) show(firstSession(models[0]));
document.body.dataset.ready = "yes";
