// The page as it was sent is complete. This keeps it fresh: an event of the
// module, or five seconds without one, has the part that changes fetched again.
"use strict";
(() => {
  const main = document.getElementById("content");
  const live = document.getElementById("live");
  let due = null, busy = false, again = false;

  const say = (text) => { if (live.textContent !== text) live.textContent = text; };

  const open = () => [...main.querySelectorAll("details[open]")].map((d) => d.id);

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const r = await fetch("/console/main", { cache: "no-store" });
      if (!r.ok) throw new Error(String(r.status));
      const text = await r.text();
      const held = open();
      const focus = document.activeElement && main.contains(document.activeElement) ? path(document.activeElement) : null;
      const doc = new DOMParser().parseFromString(text, "text/html");
      main.replaceChildren(...doc.body.childNodes);
      for (const id of held) { const d = document.getElementById(id); if (d) d.open = true; }
      if (focus) { const e = main.querySelector(focus); if (e) e.focus({ preventScroll: true }); }
      say("live");
    } catch (e) {
      say("the module does not answer");
    } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  }

  // path finds the same element in the page that comes: regions by their names.
  function path(e) {
    const name = e.getAttribute("aria-label");
    if (name) return `[aria-label="${CSS.escape(name)}"]`;
    if (e.tagName === "SUMMARY" && e.parentElement.id) return `#${CSS.escape(e.parentElement.id)} > summary`;
    return null;
  }

  function soon() {
    if (due === null) due = setTimeout(() => { due = null; refresh(); }, 300);
  }

  const events = new EventSource("/v1/events");
  for (const type of ["hello", "gap", "alarm", "over", "link", "member", "group", "control", "inbox", "operation", "state"]) events.addEventListener(type, soon);
  events.onerror = () => say("the module does not answer");
  setInterval(refresh, 5000);
})();
