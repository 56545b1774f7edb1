/* The active time of every image.
 *
 * An image's clock runs while it is open in a tab that is looked at, until nothing has been done for
 * the idle limit. What was counted is sent in small portions.
 */
(() => {
  "use strict";
  const { store, call, openSample, opening, every } = window.boxloop;
  let lastAction = performance.now();
  let lastTick = performance.now();
  let unsent = {};
  for (const name of ["pointermove", "pointerdown", "wheel", "keydown"]) {
    document.addEventListener(name, () => { lastAction = performance.now(); }, true);
  }

  async function sendSeconds() {
    const seconds = unsent;
    unsent = {};
    if (!Object.keys(seconds).length) return;
    try {
      await call("add_seconds", { seconds });
    } catch {
      for (const [id, value] of Object.entries(seconds)) unsent[id] = (unsent[id] ?? 0) + value;
    }
  }

  let wasOpen = null;
  every(() => {
    const now = performance.now();
    const id = openSample();
    if (id !== wasOpen) lastAction = now; // opening an image is an action
    const idle = (store.overview?.idle_seconds ?? 60) * 1000;
    const active = id && id === wasOpen && document.visibilityState === "visible"
      && now - lastAction < idle && now - lastTick < 5000;
    if (active) unsent[id] = (unsent[id] ?? 0) + (now - lastTick) / 1000;
    if (wasOpen && !id) sendSeconds();
    wasOpen = id;
    lastTick = now;
  }, 250);
  every(() => { if (!opening()) sendSeconds(); }, 2000);
  window.boxloop.sendSeconds = sendSeconds;
})();
