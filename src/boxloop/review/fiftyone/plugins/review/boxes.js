/* How the boxes of the open image look, their classes by digits, and the proposals below the threshold.
 *
 * The App hands its canvas to nobody, so it is found in what React keeps of it. In another version of
 * the App, where it is not found, boxes look alike, digits do nothing, and no proposal below the
 * threshold is drawn.
 */
(() => {
  "use strict";
  const {
    React, recoil, app, h, muted, Button, store, set, call, act, openSample, settle, useBoxesShown, every,
  } = window.boxloop;
  const HOST = "[data-cy=lighter-sample-renderer]";
  const rounded = (box) => [box.x, box.y, box.width, box.height].map((v) => v.toFixed(4)).join();

  // --- the App's canvas --------------------------------------------------------------------------
  let known = null;
  function canvas() {
    const host = document.querySelector(HOST);
    if (!host) return null;
    if (known?.host !== host || known.scene.isDestroyed) {
      const scene = search(host, (found) => typeof found.getAllOverlays === "function" && !found.isDestroyed);
      known = scene && { host, scene };
    }
    return known?.scene ?? null;
  }

  // The App's record of what was edited; there is one as long as the page lives.
  let edits = null;
  function record() {
    const host = !edits && document.querySelector(HOST);
    if (host) edits = search(host, ({ getJsonPatch, registerStore }) => Boolean(getJsonPatch && registerStore));
    return edits;
  }
  const hasEdits = () => record()?.getJsonPatch().some(({ deltas }) => deltas.length > 0);

  // Whether boxes were edited since the save that was sent last.
  let version = null;
  const sent = () => { version = record()?.getVersion(); };
  const editedSince = () => Boolean(edits) && edits.getVersion() !== version;

  function search(host, is) {
    const key = Object.keys(host).find((name) => name.startsWith("__reactFiber"));
    const waiting = [host[key]?.child];
    for (let looked = 0; waiting.length && looked < 200; looked += 1) {
      const fiber = waiting.pop();
      if (!fiber) continue;
      for (let hook = fiber.memoizedState; hook && typeof hook === "object"; hook = hook.next) {
        const found = Array.isArray(hook.memoizedState) ? hook.memoizedState[0] : null;
        if (found && typeof found === "object" && is(found)) return found;
      }
      waiting.push(fiber.sibling, fiber.child);
    }
    return null;
  }

  // --- certain and doubtful ----------------------------------------------------------------------
  // What scores low is dashed until somebody has touched it.
  const first = new Map();
  function isDoubtful(overlay) {
    const { label } = overlay;
    const limit = store.overview?.doubtful;
    if (typeof label?.confidence !== "number" || typeof limit !== "number") return false;
    const now = `${label.label} ${rounded(overlay.relativeBounds)}`;
    if (!first.has(overlay.id)) first.set(overlay.id, now);
    return label.confidence < limit && first.get(overlay.id) === now;
  }

  function dash(scene) {
    const kind = Object.getPrototypeOf(scene);
    if (kind.boxloop || typeof kind.executeOverlayRender !== "function") return;
    const original = kind.executeOverlayRender;
    kind.boxloop = true;
    kind.executeOverlayRender = function (id, overlay) {
      clipDashes(this);
      original.call(this, id, overlay);
      try {
        if (!overlay.relativeBounds || !isDoubtful(overlay) || overlay.isSelected?.()) return;
        const style = { strokeStyle: "#000000", lineWidth: 3, dashPattern: [6, 6] };
        this.config.renderer.drawRect(overlay.bounds, style, overlay.containerId);
      } catch { /* it looks like the others */ }
    };
  }

  // The App draws each dash of a side, so a mistyped height would keep it busy until the tab dies: a
  // side is dashed for as long as the image, and as much again at both ends.
  function clipDashes(scene) {
    const renderer = scene.config?.renderer;
    if (typeof renderer?.drawRect !== "function" || !scene.coordinateSystem) return;
    renderer.boxloop = scene;
    if (Object.hasOwn(renderer, "drawRect")) return;
    renderer.drawRect = function (bounds, style, containerId) {
      const kind = Object.getPrototypeOf(this);
      kind.drawRect.call(this, style?.dashPattern ? near(bounds, this.boxloop) : bounds, style, containerId);
    };
  }

  function near({ x, y, width, height }, scene) {
    const area = scene.coordinateSystem.relativeToAbsolute({ x: -1, y: -1, width: 3, height: 3 });
    const within = (v, start, length) => Math.min(Math.max(v, start), start + length);
    const [left, right] = [x, x + width].map((v) => within(v, area.x, area.width));
    const [top, bottom] = [y, y + height].map((v) => within(v, area.y, area.height));
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  let drawn = null;
  every(() => {
    const scene = openSample() ? canvas() : null;
    const limit = store.overview?.doubtful;
    if (!scene || (drawn?.scene === scene && drawn.limit === limit)) return;
    dash(scene);
    drawn = { scene, limit };
    scene.getAllOverlays().forEach((overlay) => overlay.markDirty?.());
  }, 250);

  // --- classes by digits, boxes hidden -----------------------------------------------------------
  // A digit is for the box that is chosen, and for those drawn from then on, as a choice from the list is.
  // The very first box has none yet, where there are several: the App would give it the most frequent one.
  const LAST = "boxloop-class-used-last";
  const NO_CLASS = "?";
  let last = sessionStorage.getItem(LAST);
  function use(name) {
    if (!store.overview?.classes.includes(name)) return;
    last = name;
    sessionStorage.setItem(LAST, name);
  }

  const selected = () => canvas()?.getSelectedOverlays?.()[0];
  function choose(number) {
    const name = store.overview?.classes[number];
    if (!name) return;
    use(name);
    label(selected());
  }

  function label(box, drawing = null) {
    const classes = store.overview?.classes ?? [];
    const name = classes.includes(last) ? last : classes.length === 1 ? classes[0] : NO_CLASS;
    if (!box?.label || box.label.label === name) return;
    const change = () => box.updateLabel?.({ ...box.label, label: name });
    if (drawing) inOne(drawing, change);
    else change();
  }

  // The App puts what has the key of the last step into that step: one undo takes the box and its class
  // away, where the class that the App gave it would be left.
  const drawnLast = (box) => {
    const step = record()?.lastUndoEntry?.();
    return step?.ops?.some(({ ref, before }) => !before && ref.instanceId === box.id) ? step : null;
  };
  function inOne(step, change) {
    step.undoKey ??= `boxloop:${step.id}`;
    record().transaction(change, { undoKey: step.undoKey });
  }

  // The form has the App's own class for a new box: to choose that one from the list changes nothing there.
  const within = (id) => canvas()?.getAllOverlays().find((overlay) => overlay.id === id);
  function pick(option) {
    const name = option?.textContent.trim();
    if (!store.overview?.classes.includes(name)) return;
    use(name);
    const id = selected()?.id;
    for (const wait of [50, 200, 600]) {
      setTimeout(() => { if (id && last === name) label(within(id)); }, wait);
    }
  }

  let before = new Set();
  let onCanvas = false; // an undo brings boxes back, too
  document.addEventListener("pointerdown", (event) => {
    pick(event.target.closest?.("[role=option]"));
    onCanvas = Boolean(event.target.closest?.(HOST));
    before = new Set(canvas()?.getAllOverlays().map(({ id }) => id));
  }, true);
  document.addEventListener("keydown", ({ key, target }) => {
    if (key !== "Enter") return;
    pick(target.closest?.("[role=option]") ?? document.getElementById(target.getAttribute?.("aria-activedescendant")));
  }, true);
  document.addEventListener("pointerup", () => {
    for (const wait of [20, 100, 300]) { // a busy machine is late with it
      setTimeout(() => {
        const box = selected();
        if (!onCanvas || !box || before.has(box.id)) return;
        before.add(box.id);
        label(box, drawnLast(box));
      }, wait);
    }
  }, true);

  let show = () => {};
  let hidden = false;
  function toggleBoxes(wanted = !hidden) {
    hidden = wanted;
    show(!hidden);
    set({});
  }

  // --- proposals below the threshold -------------------------------------------------------------
  // They are read when somebody asks for them, image by image.
  const below = { wanted: false, from: null, sample: null, rows: [] };
  let take = null; // puts an image's record, as the server has it now, into the App
  let datasetId = null;

  async function read() {
    const sample = openSample();
    if (!below.wanted || !sample || below.sample === sample) return;
    below.sample = sample;
    below.rows = [];
    try {
      const { rows } = await call("below", { sample });
      if (below.sample === sample) below.rows = rows;
    } catch { below.sample = null; }
    set({});
  }

  function toggleBelow() {
    below.wanted = !below.wanted;
    below.sample = null;
    read();
    set({});
  }

  // One that was taken may be deleted, offered again, and come back by an undo.
  const drawnNow = () => new Set(canvas()?.getAllOverlays().map(({ id }) => id));
  const shown = () => {
    const there = drawnNow();
    return below.rows.filter(({ id, score }) => !there.has(id) && (below.from === null || score >= below.from));
  };

  const accept = (row) => act("accept", async () => {
    await settle();
    if (drawnNow().has(row.id)) return;
    const path = `/dataset/${datasetId}/sample/${below.sample}`;
    const save = (version, operations) => fetch(path, {
      method: "PATCH",
      headers: { "Content-Type": "application/json-patch+json", "If-Match": version },
      body: JSON.stringify(operations),
    });
    // No record has this version: the answer holds the newest, and which that is.
    const newest = await save('"0"', []);
    if (newest.status !== 412) throw new Error(`status ${newest.status}`);
    const value = { _cls: "Detection", _id: { $oid: row.id }, label: row.label, bounding_box: row.box, confidence: row.score };
    const saved = await save(newest.headers.get("ETag"), [{ op: "add", path: "/boxes/detections/-", value }]);
    if (!saved.ok) throw new Error(`status ${saved.status}`);
    first.set(row.id, "accepted");
    below.rows = below.rows.filter(({ id }) => id !== row.id);
    take(plain(await saved.json()));
  });

  // The server's JSON as the App keeps it.
  function plain(value) {
    if (Array.isArray(value)) return value.map(plain);
    if (!value || typeof value !== "object") return value;
    if ("$oid" in value) return value.$oid;
    if ("$date" in value) return { _cls: "DateTime", datetime: Date.parse(value.$date) };
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  }

  // Where a box (fractions of the image) is on the screen.
  function place(box) {
    const area = document.querySelector(`${HOST} canvas`)?.getBoundingClientRect();
    const scene = canvas();
    if (!area || !scene?.coordinateSystem) return null;
    const [a, b] = [scene.screenToWorld({ x: 0, y: 0 }), scene.screenToWorld({ x: 100, y: 100 })];
    const scale = 100 / (b.x - a.x);
    const [x, y, width, height] = box;
    const world = scene.coordinateSystem.relativeToAbsolute({ x, y, width, height });
    return {
      left: area.left + (world.x - a.x) * scale, top: area.top + (world.y - a.y) * scale,
      width: world.width * scale, height: world.height * scale,
    };
  }

  const layer = document.createElement("div");
  layer.dataset.boxloop = "below";
  layer.style.cssText = "position:fixed;left:0;top:0;width:0;height:0;z-index:1500";
  let drawing = 0;
  function draw() {
    drawing = 0;
    const rows = below.wanted && below.sample && below.sample === openSample() ? shown() : [];
    const kept = new Set();
    for (const row of rows) {
      const at = place(row.box);
      if (!at) continue;
      let frame = layer.querySelector(`[data-id="${row.id}"]`);
      if (!frame) {
        frame = document.createElement("div");
        frame.dataset.id = row.id;
        frame.style.cssText = "position:fixed;box-sizing:border-box;border:2px dotted #fff;outline:1px dotted #000;"
          + "pointer-events:none";
        const button = document.createElement("button");
        button.dataset.boxloop = "accept";
        button.textContent = `+ ${row.label} ${row.score.toFixed(2)}`;
        button.title = "There is an object: take this box";
        button.style.cssText = "position:absolute;left:-2px;top:100%;pointer-events:auto;cursor:pointer;border:0;"
          + "background:#fff;color:#000;font:12px sans-serif;padding:1px 4px;white-space:nowrap";
        button.addEventListener("click", () => accept(row));
        frame.append(button);
        layer.append(frame);
      }
      for (const side of ["left", "top", "width", "height"]) frame.style[side] = `${at[side]}px`;
      kept.add(row.id);
    }
    for (const frame of [...layer.children]) if (!kept.has(frame.dataset.id)) frame.remove();
    if (kept.size && !layer.isConnected) document.body.append(layer);
    if (below.wanted) drawing = requestAnimationFrame(draw); // it follows zoom and pan
  }

  // Without the App's sidebar no box is drawn, on any image, also after a reload: it is there again at once.
  const sidebar = app.sidebarVisible?.(true);
  function Sidebar() {
    const [visible, setVisible] = recoil.useRecoilState(sidebar);
    React.useEffect(() => { if (!visible) setVisible(true); }, [visible]);
    return null;
  }

  function Boxes({ overview, current }) {
    useBoxesShown(true);
    show = recoil.useSetRecoilState(app.showOverlays);
    datasetId = recoil.useRecoilValue(app.datasetId);
    take = app.useRefreshSample?.();
    React.useEffect(() => { if (hidden) toggleBoxes(false); read(); }, [current]);
    React.useEffect(() => { if (below.wanted && !drawing) draw(); }, [below.wanted]);
    const waiting = below.rows.length;
    const scores = below.rows.map(({ score }) => score);
    const least = Math.min(...scores, overview.shown_from);
    return h("div", null,
      sidebar && h(Sidebar),
      h(Button, { onClick: () => toggleBoxes(), "data-boxloop": "hide" }, hidden ? "Show the boxes (H)" : "Hide the boxes (H)"),
      overview.has_below && h(Button, { onClick: toggleBelow, "data-boxloop": "show-below" },
        below.wanted ? "Hide what scores below (B)" : "Show what scores below (B)"),
      below.wanted && h("div", { "data-boxloop": "below-count", style: muted },
        waiting ? `${shown().length} of ${waiting} below ${overview.shown_from.toFixed(2)}: click a + to take one`
          : "Nothing scores below here."),
      below.wanted && waiting > 1 && h("input", {
        type: "range", min: least, max: overview.shown_from, step: 0.01, value: below.from ?? least, style: { width: "100%" },
        "aria-label": "lowest score that is shown", onChange: (event) => { below.from = Number(event.target.value); set({}); },
      }),
      typeof overview.doubtful === "number" && h("div", { style: muted },
        `Dashed: the third of the proposals that scores lowest, below ${overview.doubtful.toFixed(2)}.`));
  }

  Object.assign(window.boxloop, { Boxes, choose, toggleBoxes, toggleBelow, hasEdits, sent, editedSince });
})();
