/* Nobody leaves an image by the App's own ways while an edit of it is not stored: the App would drop it. */
(() => {
  "use strict";
  const { act, settle, unsaved, openSample, store, set, nameOf, every, UNSAVED } = window.boxloop;

  // The arrows, the other tab of an image, and the grid around it.
  const leads = (target) => Boolean(target.closest?.("[data-cy=nav-left-button], [data-cy=nav-right-button], [data-cy=explore]")
    || target.querySelector?.(":scope > [data-cy=nav-left-button], :scope > [data-cy=nav-right-button]")
    || (target.closest?.("[data-cy=modal]") && !target.closest("[data-cy=modal-content]")));
  const KEYS = ["Escape", "ArrowLeft", "ArrowRight"];

  // What leads away waits for the edit, and is then done again.
  const again = new WeakSet();
  function hold(event, leadsAway) {
    if (again.has(event) || !leadsAway || !openSample() || store.overview?.submitted || !unsaved()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return;
    act("leave", async () => {
      await settle();
      const same = new event.constructor(event.type, event);
      again.add(same);
      (event.target.isConnected ? event.target : document.body).dispatchEvent(same);
    });
  }
  document.addEventListener("click", (event) => hold(event, leads(event.target)), true);
  document.addEventListener("keydown", (event) => hold(event, KEYS.includes(event.key)), true);

  // By other ways, such as the browser's Back, an image is gone before anything can wait: it is named.
  let was = null;
  let behind = false;
  every(() => {
    const id = openSample();
    if (was && id !== was && behind) {
      set({ failure: `The last edit of ${nameOf(was) ?? "the image before"} may be lost: the image was closed before that`
        + " was stored. Open it, and look at its boxes once more." });
    }
    was = id;
    behind = Boolean(id) && unsaved() && window.boxloop.editedSince?.();
    if (!unsaved()) document.documentElement.removeAttribute(UNSAVED); // the edit was undone
  }, 250);
})();
