/* boxloop's side of the App while somebody browses.
 *
 * - What would only be refused is not offered: the server refuses every change by itself
 *   (guard/app_requests.py), this file hides the buttons.
 * - The scatter is opened and coloured by batch: the Embeddings panel forgets both with the page.
 */
(() => {
  "use strict";
  localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true");
  const dataset = decodeURIComponent(location.pathname.match(/\/datasets\/([^/]+)/)?.[1] ?? "");
  // The tab that an image opens in is remembered, also from a review at the same address.
  localStorage.setItem(`${dataset}_modalMode`, '"explore"');
  const style = document.createElement("style");
  style.textContent =
    "[data-cy=annotate], [data-cy=action-tag-sample-labels], [data-cy=action-color-settings]," +
    " [data-cy=saved-views-create-new] { display: none !important; }";
  document.head.append(style);

  const RUN = "features";
  const FIELD = "batch";
  const WAIT_MS = 250;
  const TRIES = 480;
  const find = (selector, text) =>
    [...document.querySelectorAll(selector)].find((e) => !text || e.textContent.trim() === text);
  // The last step that is possible: each click brings up what the next one needs, a moment later.
  const next = () =>
    find("[role=option]", FIELD) ??
    find("button[aria-label='Color by']") ??
    find("[data-cy=embeddings-runs-page] span", RUN);
  let tries = 0;
  const timer = setInterval(() => {
    const element = next();
    element?.click();
    tries += 1;
    if (element?.matches("[role=option]") || tries > TRIES) clearInterval(timer);
  }, WAIT_MS);
  // A person who clicks is left alone.
  addEventListener("pointerdown", () => clearInterval(timer), { once: true, capture: true });
})();
