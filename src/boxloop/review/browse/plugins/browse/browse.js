/* boxloop's side of the App while somebody browses: what would only be refused is not offered.
 *
 * The server refuses every change by itself (guard/app_requests.py); this file hides the buttons.
 */
(() => {
  "use strict";
  localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true");
  const dataset = decodeURIComponent(location.pathname.match(/\/datasets\/([^/]+)/)?.[1] ?? "");
  // The tab that an image opens in is remembered, also from a review at the same address.
  localStorage.setItem(`${dataset}_modalMode`, '"explore"');
  const style = document.createElement("style");
  style.textContent =
    "[data-cy=annotate], [data-cy=action-tag-sample-labels], [data-cy=action-annotate]" +
    " { display: none !important; }";
  document.head.append(style);
})();
