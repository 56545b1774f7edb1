/* boxloop's side of the App, in plain JavaScript: FiftyOne loads it as it is, no build needed.
 *
 * - a panel, beside the grid and beside the open image: what to do, progress, counts, submission;
 * - edits are saved at once, where the App itself would wait for up to three seconds;
 * - keys.js: D is reviewed, on to the next one that waits, and more;
 * - boxes.js: how boxes look, and the proposals below the threshold; counts.js: the panel's numbers;
 * - leaving.js: nobody leaves an image while an edit of it is not stored;
 * - clock.js: the active time of every image.
 *
 * The state is kept on the server (controller.py); these files show it and ask for changes.
 */
(() => {
  "use strict";
  const { React, recoil, __foo__: operators, __fop__: plugins, __fos__: app, __fou__: tools } = window;
  const h = React.createElement;
  const NAME = "boxloop_review";
  const POLL_MS = 1200;
  const FAST_SAVE_MS = 300;
  const SAVE_STARTS_MS = 80;
  const DRAG_MS = 20;
  const OPENING_MS = 1500;
  const LATE_MS = 1000;
  const RETRY_MS = 700;
  const SILENT_MS = 5000;
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  // --- the App's autosave ------------------------------------------------------------------------
  // It asks for a save every 3 s, and an edit made less than that before an image is closed is lost.
  // Here it asks sooner, and at once where an edit has just been made or an image may be about to
  // close. The timer is recognised by what it does; another version of the App simply keeps its own pace.
  const originalSetInterval = window.setInterval;
  let requestSave = () => {};
  window.setInterval = (callback, delay, ...rest) => {
    if (delay !== 3000 || !String(callback).includes("annotation:persistenceRequested")) {
      return originalSetInterval(callback, delay, ...rest);
    }
    requestSave = callback;
    return originalSetInterval(callback, FAST_SAVE_MS, ...rest);
  };
  document.addEventListener("pointerup", () => setTimeout(() => requestSave(), 30), true);
  for (const name of ["pointerdown", "keydown", "visibilitychange"]) {
    document.addEventListener(name, () => requestSave(), true);
  }
  window.addEventListener("beforeunload", (event) => {
    requestSave();
    if (document.documentElement.hasAttribute(UNSAVED) && !outdated) event.preventDefault(); // the browser asks
  }, true);
  // A save that is on its way when the window closes arrives all the same.
  const originalFetch = window.fetch;
  const saves = new Set();
  window.fetch = (input, init) => {
    if (init?.method !== "PATCH") return tellRefusal(input, originalFetch(input, init));
    if (outdated) return Promise.resolve(new Response(null, { status: 412 }));
    const save = init.body === "[]" ? originalFetch(input, init) : persist(input, init);
    const ended = save.then(() => {}, () => {}).then(() => saves.delete(ended));
    saves.add(ended);
    if (init.body !== "[]") watchSave(save);
    if (init.body !== "[]") save.then(({ status }) => { if (status === 412) startAnew(input); }, () => {});
    return save;
  };

  // The App drops an edit with its image, and gives up for good once saves have failed for 30 s. So it
  // is not told of a failure: a save that the session cannot take now is sent until it can.
  let failing = false;
  let sentAgain = false;
  async function persist(input, init) {
    boxloop.sent?.();
    let keepalive = typeof init.body === "string" && init.body.length < 50_000;
    for (;;) {
      if (outdated) return new Response(null, { status: 412 });
      let answer = null;
      try {
        answer = await originalFetch(input, keepalive ? { ...init, keepalive } : init);
      } catch (error) {
        if (init.signal?.aborted) throw error;
      }
      if (answer && answer.status < 500) {
        failing = false;
        if (answer.ok) sentAgain = false;
        return answer;
      }
      failing = sentAgain = true;
      keepalive = false; // what browsers allow of these in all is little
      document.documentElement.setAttribute(UNSAVED, "");
      await sleep(RETRY_MS);
    }
  }

  // The App's dot stays green while an answer is late, and after one that failed: until an edit is
  // stored, it is red here.
  const UNSAVED = "data-boxloop-unsaved";
  let refused = false;
  function watchSave(save) {
    const late = setTimeout(() => document.documentElement.setAttribute(UNSAVED, ""), LATE_MS);
    const silent = setTimeout(() => set({ error: silence("an edit is not stored yet") }), SILENT_MS);
    const ended = (stored) => {
      clearTimeout(late);
      clearTimeout(silent);
      refused = !stored;
      document.documentElement.toggleAttribute(UNSAVED, !stored);
      if (stored && store.failure && store.failure === stuck) set({ failure: null });
    };
    save.then(({ ok }) => ended(ok), () => ended(false));
  }
  const silence = (why) => `The review session does not answer (${why}). Your saved work is kept:`
    + " type 'boxloop review' again in the terminal.";

  // Of a view that is refused, the App itself shows an empty message.
  function tellRefusal(input, answer) {
    if (!String(input?.url ?? input).endsWith("/graphql")) return answer;
    return answer.then((response) => {
      if (response.status === 403) {
        response.clone().json().then(({ detail }) => { if (detail) set({ failure: detail }); }, () => {});
      }
      return response;
    });
  }

  // An edit of an older version changed nothing. The App would go on from the boxes that it has, which
  // are not those that are stored: the page begins anew with these, and says so (below).
  const ANEW = "boxloop-began-anew";
  let outdated = false;
  async function startAnew(address) {
    if (outdated) return;
    outdated = true;
    const edited = String(address).match(/\/sample\/([^/?]+)/)?.[1]; // it may be closed by now
    const name = nameOf(edited) ?? "This image";
    sessionStorage.setItem(ANEW, sentAgain
      ? `The connection was lost while an edit of ${name} was saved, so it may be stored or not. The image is`
        + " shown as it is stored now: look at its boxes once more."
      : `${name} was edited in another window meanwhile, so your last edit of it here was not saved. It is`
        + " shown as it is stored now: look at its boxes once more.");
    await boxloop.sendSeconds?.();
    location.reload();
  }

  // Whether something is not stored: asked of the App's own record of edits, where that is found.
  const unsaved = () => saves.size > 0 || (boxloop.hasEdits?.() ?? refused);

  // Ask for a save until nothing is left to do. An image whose edit cannot be stored now stays open.
  let stuck = null;
  async function settle() {
    while (boxloop.drags?.()) await sleep(DRAG_MS); // the other hand is faster than the mouse
    const begin = performance.now();
    const image = nameOf(openSample()) ?? "an image";
    do {
      requestSave();
      await sleep(SAVE_STARTS_MS);
      if (outdated) await new Promise(() => {}); // the page is about to go
      if (!unsaved()) return;
      await Promise.race([Promise.all(saves), sleep(SILENT_MS)]);
    } while (performance.now() - begin < (failing || refused ? SILENT_MS : 4 * SILENT_MS));
    stuck = refused && !failing
      ? `The session refused the last edit of ${image}, so the image stays open: undo that edit, or reload the`
        + " page, which shows the image as it is stored."
      : `The last edit of ${image} is not stored yet, because the review session does not answer. It is sent until`
        + " it is stored: go on then.";
    throw new Sentence(stuck);
  }

  // --- how an opened image looks -----------------------------------------------------------------
  const dataset = () => decodeURIComponent(location.pathname.match(/\/datasets\/([^/]+)/)?.[1] ?? "");
  const openSample = () => new URLSearchParams(location.search).get("id");

  // A first visit would cover the panel with an advertisement.
  localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true");

  // What the server only refuses (guard/app_requests.py) is not offered: the App would show an error,
  // in place of the grid or in a panel that is there still after a reload.
  const REFUSED = ["action-tag-sample-labels", "action-sort-by-similarity", "action-clips-patches",
    "action-convert-filters-to-view-stages", "action-color-settings", "field-visibility-icon",
    "saved-views-create-new", "new-panel-btn"];
  // Nor is what draws other than boxes, of which none gets into the labels, or hides them all.
  const UNUSED = ["segmentation-mode", "polyline-mode", "polyline-mode-3d", "cuboid-mode", "create-classification",
    "label-menu-add-mask", "open-schema-manager", "checkbox-boxes"];
  const style = document.createElement("style");
  style.textContent = `${[...REFUSED, ...UNUSED].map((name) => `[data-cy=${name}]`)},
    [data-cy=modal] [data-cy=action-toggle-sidebar] { display: none !important; }
    [data-boxloop-unsaved] [role=status][class*=_indicator_] svg { color: #e5484d !important; }`;
  document.head.append(style);

  function prepareModal() {
    // Straight into the Annotate tab, with the panel beside the image.
    const mode = `${dataset()}_modalMode`;
    if (!localStorage.getItem(mode)) localStorage.setItem(mode, '"annotate"');
    const panel = (id, pinned) => ({ id, children: [], type: id, pinned });
    const space = (id, child) => ({
      id, children: [child], type: "panel-container", activeChild: child.id,
    });
    const key = "fo-sample-modal-plugins";
    if ((localStorage.getItem(key) ?? "").includes(NAME)) return;
    localStorage.setItem(key, JSON.stringify({
      id: "root",
      children: [
        space("boxloop-image", panel("fo-sample-modal-plugin", true)),
        space("boxloop-side", panel(NAME, true)),
      ],
      type: "panel-container",
      layout: "horizontal",
      sizes: [0.74, 0.26],
    }));
  }

  // --- the server --------------------------------------------------------------------------------
  // An error is gone once the server answers; a failure of what a person did stays until dismissed.
  const store = { overview: null, error: null, failure: null, busy: null, listeners: new Set() };
  const nameOf = (id) => store.overview?.samples.find(([sample]) => sample === id)?.[1];
  const anew = sessionStorage.getItem(ANEW);
  sessionStorage.removeItem(ANEW);
  if (anew) store.failure = anew;
  const set = (change) => {
    Object.assign(store, change);
    if (store.overview?.submitted) keepOnPage(store.overview.submitted);
    store.listeners.forEach((listener) => listener({}));
  };

  class Sentence extends Error {} // said by boxloop itself, for the person to read

  async function call(name, params = {}) {
    const answer = await tools.getFetchFunction()("POST", "/operators/execute", {
      operator_uri: `@boxloop/review/${name}`,
      dataset_name: dataset(),
      params,
    });
    if (answer.result?.error) throw new Sentence(answer.result.error);
    if (answer.error) throw new Error(answer.error.message ?? String(answer.error));
    return answer.result;
  }

  const THANKS = "Submitted. Thank you!";
  const GOODBYE = "You can close this window; the terminal has the same summary, and 'dvc repro' goes on.";

  const take = (result) => set({ overview: result, error: null });

  // While the App opens an image, nothing else keeps the server from it.
  let opened = -OPENING_MS;
  const opening = () => performance.now() - opened < OPENING_MS;

  let asks = false;
  async function refresh() {
    const idle = () => !store.busy && !opening();
    if (asks || store.overview?.submitted || document.visibilityState !== "visible" || !idle()) return;
    asks = true;
    const silent = setTimeout(() => set({ error: silence("no answer for 5 s") }), SILENT_MS);
    try {
      const overview = await call("overview");
      if (idle()) take(overview); // else it may be older than what was done meanwhile
      else set({ error: null });
    } catch (error) {
      set({ error: error instanceof Sentence ? error.message : silence(error.message) });
    } finally {
      clearTimeout(silent);
      asks = false;
    }
  }

  // --- what people do ----------------------------------------------------------------------------
  const open = (id) => {
    opened = performance.now();
    return operators.executeOperator("@voxel51/operators/open_sample", { id, mode: "annotate" });
  };
  // reload_samples would keep the thumbnails that the App has, without their new tags.
  const reloadGrid = () => operators.executeOperator("@voxel51/operators/reload_dataset", {});
  let gridIsStale = false;

  async function act(name, work) {
    if (store.busy) return;
    set({ busy: name, failure: null });
    try {
      await work();
    } catch (error) {
      set({ failure: error instanceof Sentence ? error.message
        : `That did not work (${error.message}). Your saved work is kept: try again, or type`
          + " 'boxloop review' again in the terminal." });
    } finally {
      set({ busy: null });
    }
  }

  // As the server chooses it (next_waiting), so that the App can open it meanwhile.
  function following(id) {
    const samples = store.overview?.samples ?? [];
    const place = samples.findIndex(([sample]) => sample === id);
    const rotated = [...samples.slice(place + 1), ...samples.slice(0, Math.max(place, 0))];
    return rotated.find(([sample, , reviewed]) => !reviewed && sample !== id)?.[0];
  }

  const done = () => act("mark", async () => {
    const id = openSample();
    if (!id) return;
    document.activeElement?.blur?.();
    await settle(); // what was just edited is saved now
    const next = following(id);
    if (next) {
      open(next);
      const samples = store.overview.samples.map((row) => (row[0] === id ? [id, row[1], true] : row));
      take({ ...store.overview, samples, reviewed: samples.filter((row) => row[2]).length });
    }
    try {
      const result = await call("set_reviewed", { samples: [id], reviewed: true });
      take(result);
      if (!next && result.next) open(result.next);
      else if (!next) operators.executeOperator("@voxel51/operators/close_sample", {});
    } catch (error) {
      if (next) open(id);
      throw error;
    }
    gridIsStale = true;
  });

  const back = () => act("back", async () => {
    await settle();
    await call("overview"); // without a connection the App shows an error in place of the batch
    operators.executeOperator("@voxel51/operators/close_sample", {});
  });

  const mark = (samples, reviewed) => act("mark", async () => {
    take(await call("set_reviewed", { samples, reviewed }));
    if (openSample()) gridIsStale = true;
    else {
      await operators.executeOperator("@voxel51/operators/clear_selected_samples", {});
      await sleep(200); // one after the other: the App drops a reload that meets another change
      reloadGrid();
    }
  });

  const submitted = (summary) => set({ overview: { ...store.overview, submitted: summary } });
  const submit = () => act("submit", async () => {
    await settle(); // of an image that was closed meanwhile
    await boxloop.sendSeconds?.();
    const result = await call("submit");
    if (result.summary) {
      submitted(result.summary);
      otherTabs.postMessage([dataset(), result.summary]);
    } else set({ overview: { ...store.overview, faults: result.faults } });
  });

  // A tab that is out of sight asks the server for nothing, and it ends in a moment.
  const otherTabs = new BroadcastChannel("boxloop-submitted");
  otherTabs.addEventListener("message", ({ data: [name, summary] }) => {
    if (name !== dataset() || keeps) return;
    if (store.overview) submitted(summary);
    else keepOnPage(summary);
  });

  // Once its server has ended, the App shows its own welcome in place of the panel.
  let keeps = false;
  function cover(name, text) {
    const page = document.createElement("div");
    page.dataset.boxloop = name;
    page.textContent = text;
    page.style.cssText = "position:fixed;inset:0;z-index:2000;overflow:auto;padding:48px;background:#1a1a1a;color:#fff;"
      + "font:15px/1.6 sans-serif;white-space:pre-wrap;overflow-wrap:anywhere";
    return page;
  }
  function keepOnPage(summary) {
    if (keeps) return;
    keeps = true;
    const page = cover("kept", `${THANKS}\n\n${summary}\n\n${GOODBYE}`);
    const waiting = originalSetInterval(() => {
      if (document.querySelector("[data-boxloop=submitted]")) return;
      clearInterval(waiting);
      document.body.append(page);
    }, 100);
  }

  // The same where it has ended otherwise. A session that answers has the panel on its page.
  let ended = null;
  const own = document.currentScript.src;
  originalSetInterval(async () => {
    const there = () => keeps || !store.overview || document.querySelector("[data-boxloop=panel]");
    const answers = there() || await originalFetch(own, { cache: "no-store" }).then(({ ok }) => ok, () => false);
    if (there()) ended?.remove();
    else if (answers && ended && !saves.size) location.reload(); // the connection is back
    if (there() || answers || ended?.isConnected) return;
    ended = cover("ended", "This session has ended, or cannot be reached: 'boxloop review' opens it again, at the address"
      + " that it prints.\n\n" + (saves.size ? "Your last edit is not stored; all others are." : "Your work is kept."));
    document.body.append(ended);
  }, POLL_MS);

  let wasOpen = null;
  originalSetInterval(() => {
    const id = openSample();
    if (id !== wasOpen) set({}); // the panel is of this image, also while the server is slow
    if (wasOpen && !id && gridIsStale) { // the image was closed
      gridIsStale = false;
      reloadGrid();
    }
    wasOpen = id;
  }, 250);
  originalSetInterval(refresh, POLL_MS);

  // --- the panel ---------------------------------------------------------------------------------
  const box = { padding: "12px 14px", lineHeight: 1.45, fontSize: 14, height: "100%", overflowY: "auto" };
  const muted = { opacity: 0.75 };

  function Button({ children, primary, ...rest }) {
    const disabled = rest.disabled || store.busy;
    return h("button", {
      ...rest,
      disabled,
      style: {
        display: "block", width: "100%", margin: "8px 0", padding: "9px 12px", fontSize: 14,
        fontWeight: 600, borderRadius: 4, cursor: disabled ? "default" : "pointer", textAlign: "center",
        border: "1px solid #ff6d04", background: primary ? "#ff6d04" : "transparent",
        color: primary ? "#fff" : "inherit", opacity: disabled ? 0.5 : 1,
      },
    }, children);
  }

  function Progress({ value, of }) {
    return h("div", { style: { margin: "10px 0" } },
      h("div", { "data-boxloop": "progress", style: { fontWeight: 600 } }, `${value} of ${of} reviewed`),
      h("div", { style: { height: 8, borderRadius: 4, background: "rgba(128,128,128,.35)", marginTop: 4 } },
        h("div", { style: { width: `${(100 * value) / Math.max(1, of)}%`, height: 8, borderRadius: 4,
          background: value === of ? "#3fa34d" : "#ff6d04" } })));
  }

  function Faults({ faults }) {
    if (!faults?.length) return null;
    const shown = faults.slice(0, 50);
    return h("div", { "data-boxloop": "faults", style: { marginTop: 12, borderLeft: "3px solid #e5484d", paddingLeft: 10 } },
      h("div", { style: { fontWeight: 600 } },
        faults.length === 1 ? "One thing to put right first" : `${faults.length} things to put right first`),
      shown.map((fault, i) => h("div", { key: i, style: { margin: "6px 0" } },
        h("a", {
          href: "#", "data-boxloop": "fault", style: { color: "#ff6d04", textDecoration: "underline" },
          onClick: (event) => { event.preventDefault(); open(fault.sample); },
        }, fault.image), h("span", null, `: ${fault.message}`))),
      faults.length > shown.length && h("div", null, `and ${faults.length - shown.length} more`));
  }

  const part = (name, props) => boxloop[name] && h(boxloop[name], props); // of the other files
  // What was planted and missed, in a session that opens it again.
  function Hints({ hints }) {
    if (!hints?.length) return null;
    return h("div", { "data-boxloop": "hints", style: { marginTop: 12, borderLeft: "3px solid #ff6d04", paddingLeft: 10 } },
      h("div", { style: { fontWeight: 600 } }, "Look again: this was planted, and was missed"),
      hints.map((hint, i) => h("div", { key: i, style: { margin: "6px 0" } },
        h("a", {
          href: "#", "data-boxloop": "hint", style: { color: "#ff6d04", textDecoration: "underline" },
          onClick: (event) => { event.preventDefault(); open(hint.sample); },
        }, hint.image), h("span", null, `: ${hint.message}`))));
  }

  // Where two people differ, or what may be wrong: of all images in the grid, of the open one beside it.
  function Notes({ notes, title }) {
    if (!notes?.length) return null;
    const shown = notes.slice(0, 50);
    return h("div", { "data-boxloop": "notes", style: { marginTop: 12, borderLeft: "3px solid #ff6d04", paddingLeft: 10 } },
      h("div", { style: { fontWeight: 600 } }, title),
      shown.map((note, i) => h("div", { key: i, style: { margin: "6px 0" } },
        h("a", {
          href: "#", "data-boxloop": "note", style: { color: "#ff6d04", textDecoration: "underline" },
          onClick: (event) => { event.preventDefault(); open(note.sample); },
        }, note.image), h("span", null, `: ${note.message}`))),
      notes.length > shown.length && h("div", null, `and ${notes.length - shown.length} more`));
  }

  const help = (lines) => h("ol", { style: { margin: "8px 0", paddingLeft: 20, listStyle: "decimal" } },
    lines.map((line, i) => h("li", { key: i, style: { margin: "3px 0" } }, line)));

  // Without this field no box is drawn, on any image, also after a reload: it is there again at once.
  function useBoxesShown(modal) {
    const [shown, setShown] = recoil.useRecoilState(app.activeFields({ modal }));
    const there = shown.includes("boxes");
    React.useEffect(() => {
      if (!there) setShown((now) => (now.includes("boxes") ? now : ["boxes", ...now]));
    }, [there]);
  }

  // Whether the thumbnails show some of the boxes alone. One that matches images shows all of theirs.
  const HIDING = /^(boxes\b|_label_tags$)/;
  const hides = (filters) => Object.entries(filters ?? {})
    .some(([path, filter]) => HIDING.test(path) && !filter?.isMatching);

  function Grid({ overview }) {
    useBoxesShown(false);
    const selected = recoil.useRecoilValue(app.selectedSamples);
    const ids = [...(selected?.keys?.() ?? selected ?? [])];
    const filters = [recoil.useRecoilValue(app.filters), recoil.useRecoilValue(app.attributeVisibility)];
    const filtered = filters.some(hides);
    const setShown = recoil.useSetRecoilState(app.activeFields({ modal: false }));
    // Which images are reviewed: the tag on their thumbnails.
    React.useEffect(() => setShown((now) => (now.includes("tags") ? now : ["tags", ...now])), []);
    const waiting = overview.samples.find(([, , reviewed]) => !reviewed);
    const total = overview.samples.length;
    return h("div", null,
      h("div", { style: muted }, overview.blank && !overview.redo
        ? "Nothing is proposed yet: draw every object of these images."
        : overview.about),
      overview.shown && !overview.blank
        && h("div", { "data-boxloop": "shown", style: muted },
          overview.shown),
      h(Progress, { value: overview.reviewed, of: total }),
      waiting && h(Button, { primary: true, onClick: () => open(waiting[0]), "data-boxloop": "start" },
        overview.reviewed ? "Go on with the next image" : "Start with the first image"),
      ids.length > 0 && h(Button, {
        onClick: () => mark(ids, true), disabled: filtered, "data-boxloop": "mark-selected",
      }, ids.length === 1 ? "The selected image is right: reviewed"
        : `The ${ids.length} selected images are right: reviewed`),
      ids.length > 0 && filtered && h("div", { "data-boxloop": "filtered", style: muted },
        "A filter in the sidebar hides boxes: reset it to mark images here."),
      h(Button, { primary: !waiting, onClick: submit, "data-boxloop": "submit" },
        store.busy === "submit" ? "Checking ..." : "Submit batch"),
      h(Faults, { faults: overview.faults }),
      h(Hints, { hints: overview.hints }),
      h(Notes, { notes: overview.notes, title: overview.notes_title }),
      help([
        "Open an image. Draw, drag, relabel or delete its boxes (the tab Annotate).",
        h("span", null, "Press ", h("b", null, "D"),
          " or Reviewed, next when its boxes are right, also where there was nothing to do."),
        "Images that are right as they stand: select them here, and mark them all with one click.",
        "Submit the batch when every image is reviewed.",
      ]),
      part("Counts", { overview }),
      h("div", { style: { ...muted, marginTop: 12, fontSize: 12 } },
        "The App saves by itself, within moments of an edit; wait for the green dot beside Edit"
        + " before you close the window. Stop whenever you like: boxloop review goes on from here."));
  }

  function Modal({ overview, current }) {
    const index = overview.samples.findIndex(([id]) => id === current);
    const [, name, reviewed] = overview.samples[index] ?? [null, "", false];
    if (index < 0) return h("div", null, "This image is not part of your session.");
    const faults = overview.faults.filter((fault) => fault.sample === current
      && !fault.message.startsWith("is not marked"));
    return h("div", null,
      h("div", { "data-boxloop": "image", style: { fontWeight: 600, overflowWrap: "anywhere" } }, name),
      h("div", { style: muted }, `image ${index + 1} of ${overview.samples.length}, `,
        h("span", { "data-boxloop": "state" }, reviewed ? "reviewed" : "not reviewed yet")),
      h(Button, { primary: true, onClick: done, "data-boxloop": "done" }, "Reviewed, next (D)"),
      reviewed && h(Button, { onClick: () => mark([current], false), "data-boxloop": "unmark" }, "Not reviewed after all"),
      h(Button, { onClick: back, "data-boxloop": "back" }, "Back to the batch"),
      h(Progress, { value: overview.reviewed, of: overview.samples.length }),
      h(Faults, { faults }),
      part("Boxes", { overview, current }),
      h(Hints, { hints: overview.hints?.filter((hint) => hint.sample === current) }),
      h(Notes, { notes: overview.notes?.filter((note) => note.sample === current), title: overview.notes_title }),
      help([
        "New box: the square under Create, then drag over the object.",
        "Its class: its digit, or the list under label. A new box takes the class that was used last.",
        "Wrong place: click the box, drag it or its corners.",
        "No object there: click the box, then delete it.",
        "Undo and redo: the arrows beside Create.",
      ]),
      h("div", { style: { ...muted, overflowWrap: "anywhere" } }, "Classes: ", overview.classes.map((name, i) => (
        i < 10 ? `${(i + 1) % 10} ${name}` : name)).join(", ")),
      part("Counts", { overview }));
  }

  function Panel() {
    const [, rerender] = React.useState();
    const current = openSample();
    React.useEffect(() => {
      store.listeners.add(rerender);
      if (!store.overview) refresh();
      return () => store.listeners.delete(rerender);
    }, []);
    const { overview, error, failure } = store;
    let body = h("div", null, "One moment ...");
    if (overview?.submitted) {
      body = h("div", { "data-boxloop": "submitted" },
        h("div", { style: { fontWeight: 700, fontSize: 16, color: "#3fa34d" } }, THANKS),
        overview.submitted.split("\n").map((line, i) => h("div", {
          key: i, style: { margin: "8px 0", paddingLeft: line.startsWith("  ") ? 14 : 0 },
        }, line.trim())),
        h("div", null, GOODBYE));
    } else if (overview) {
      body = current ? h(Modal, { overview, current }) : h(Grid, { overview });
    }
    const title = overview && `${overview.title}${overview.part ? `, part ${overview.part}` : ""}`
      + `${overview.redo ? ", again" : ""}: ${overview.samples.length} image${overview.samples.length === 1 ? "" : "s"} for ${overview.reviewer}`;
    return h("div", { style: box, "data-boxloop": "panel" },
      h("div", { style: { fontSize: 17, fontWeight: 700, marginBottom: 6 } }, title),
      error && h("div", { "data-boxloop": "error", style: { color: "#e5484d", margin: "8px 0" } }, error),
      failure && h("div", { "data-boxloop": "failure", role: "alert", style: { border: "2px solid #e5484d",
        borderRadius: 4, padding: "8px 10px", margin: "8px 0", overflowWrap: "anywhere" } }, failure,
      h("div", null, h("a", {
        href: "#", "data-boxloop": "dismiss", style: { color: "#ff6d04", textDecoration: "underline" },
        onClick: (event) => { event.preventDefault(); set({ failure: null }); },
      }, "Dismiss"))),
      body);
  }

  const boxloop = window.boxloop = {
    React, recoil, app, h, muted, Button, store, set, call, act, take, openSample, opening, settle, sleep, done,
    unsaved, nameOf, useBoxesShown, UNSAVED, every: originalSetInterval,
  };
  for (const name of ["clock", "counts", "boxes", "leaving", "keys"]) {
    const script = document.createElement("script");
    script.src = new URL(`${name}.js`, document.currentScript.src);
    script.addEventListener("load", () => set({}));
    document.head.append(script);
  }

  prepareModal();
  plugins.registerComponent({
    name: NAME,
    label: "Review",
    component: Panel,
    type: plugins.PluginComponentType.Panel,
    activator: () => true,
    panelOptions: { surfaces: "grid modal", pinned: true, priority: 1 },
  });
})();
