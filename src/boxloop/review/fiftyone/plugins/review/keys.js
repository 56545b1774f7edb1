/* The keys, whatever has the focus, unless somebody types. */
(() => {
  "use strict";
  const boxloop = window.boxloop;
  const { store, openSample, done } = boxloop;
  const TYPED = /^(text|search|email|number|password|tel|url|date|time|month|week|datetime-local)$/;

  // A list of classes keeps the focus after a choice from it, a slider or a tick after a click: nobody
  // types there. Nor while a list from which was chosen has not closed yet, as on a busy machine.
  let chosen = false;
  document.addEventListener("click", ({ target }) => {
    chosen = Boolean(target.closest?.("[role=option]"));
  }, true);

  function types(target) {
    const field = target.closest?.("input, textarea, select, [contenteditable=true]");
    if (!field) return false;
    if (field.getAttribute("role") === "combobox") {
      const open = field.getAttribute("aria-expanded") === "true";
      if (!open) chosen = false;
      return open && !chosen;
    }
    return field.tagName !== "INPUT" || TYPED.test(field.type);
  }

  const KEYS = {
    d: () => done(),
    h: () => boxloop.toggleBoxes?.(),
    b: () => boxloop.toggleBelow?.(),
    s: () => {}, // the App hides its sidebar, and every box with it
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || types(event.target)) return;
    if (!openSample() || store.overview?.submitted) return;
    const digit = /^[0-9]$/.test(event.key) ? (Number(event.key) + 9) % 10 : null;
    const act = digit === null ? KEYS[event.key.toLowerCase()] : () => boxloop.choose?.(digit);
    if (!act) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) act();
  }, true);
})();
