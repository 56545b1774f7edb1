/* The panel's numbers: edits, time, and what the batch and the campaign cost against drawing by hand. */
(() => {
  "use strict";
  const { h, muted } = window.boxloop;
  const KINDS = ["kept", "moved", "relabeled", "removed", "added"];
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const minutes = (seconds) => `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  const number = (value) => String(Math.round(10 * value) / 10);

  // T is the time to draw one box.
  function Cost({ cost, seconds }) {
    if (!cost.length) return null;
    return h("div", { "data-boxloop": "cost", style: { marginTop: 8 } },
      h("div", { style: { fontWeight: 600 } }, "This batch so far, against drawing it by hand"),
      cost.map((c) => h("div", { key: c.iou }, h("span", { style: muted }, `IoU ${c.iou}: `),
        `${number(c.wt)} of ${c.by_hand} boxes' time, `
          + (c.wt <= c.by_hand ? `${percent(1 - c.wt / c.by_hand)} saved`
            : `${percent(c.wt / c.by_hand - 1)} more than by hand`))),
      seconds && h("div", null, h("span", { style: muted }, "clock: "),
        `${minutes(seconds.spent)}, by hand about ${minutes(seconds.by_hand)}`
          + ` (${number(seconds.a_box)} s a box, as in the first batch)`));
  }

  function Counts({ overview }) {
    const cell = { padding: "1px 10px 1px 0" };
    const row = (name, value) => h("tr", { key: name },
      h("td", { style: { ...cell, ...muted } }, name),
      h("td", { style: { ...cell, textAlign: "right" }, "data-boxloop": name.replaceAll(" ", "-") }, value));
    const below = overview.kept_below;
    return h("div", null,
      h("div", { style: { fontWeight: 600, marginTop: 14 } }, "So far, on the reviewed images"),
      overview.not_counted > 0 && h("div", { "data-boxloop": "not-counted", style: muted },
        overview.not_counted === 1 ? "1 image with a fault is not counted"
          : `${overview.not_counted} images with faults are not counted`),
      h("table", null, h("tbody", null,
        row("boxes", overview.objects),
        ...KINDS.map((kind) => row(kind, overview.edits[kind])),
        below > 0 && row("of these kept from below", below),
        row("active time", minutes(overview.seconds)))),
      overview.first_batch
        ? h("div", { style: { ...muted, marginTop: 6 } },
          overview.blank
            ? "The first batch is drawn from scratch; the saving starts with the next one."
            : "The first batch counts as drawn from scratch; the saving starts with the next one.")
        : h("div", null,
          h(Cost, { cost: overview.cost ?? [], seconds: overview.cost_seconds }),
          overview.saved.length > 0 && h("div", { style: { marginTop: 8 } },
            h("div", { style: { fontWeight: 600 } }, "Saved so far, against drawing all by hand"),
            overview.saved.map((s) => h("div", { key: s.iou }, h("span", { style: muted }, `IoU ${s.iou}: `),
              `${percent(s.wt)} of the time, ${percent(s.wb)} of the boxes`)))));
  }

  window.boxloop.Counts = Counts;
})();
