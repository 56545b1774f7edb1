/* Nobody leaves an image by D while a box of it is dragged, nor by the App's own ways while an edit of it is
 * not stored: the App would drop it.
 */
(() => {
  "use strict";
  const { act, settle, unsaved, openSample, store, set, nameOf, every, UNSAVED } = window.boxloop;

  // A box that is being drawn or moved is an edit once the button is released. A release outside the
  // window is told by the next move of the mouse.
  let dragging = false;
  document.addEventListener("pointerdown", ({ target }) => {
    dragging = Boolean(target.closest?.("[data-cy=lighter-sample-renderer]"));
  }, true);
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => { dragging = false; }, true);
  }
  document.addEventListener("pointermove", ({ buttons }) => { if (!buttons) dragging = false; }, true);
  const drags = () => dragging && Boolean(openSample());

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
  window.boxloop.drags = drags;
})();
