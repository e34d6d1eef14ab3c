// The points of a sweep as cells: only those in sight are in the page, and only those that changed
// come over the wire. As a flow (columns 0), or as a table with heads that stay in sight.
// Nothing is ever set as HTML.

const CAPTION = 36; // pixels of a cell beneath its picture
const GAP = 6;
const HEAD = 26;
const KEPT = 600; // cells whose pictures are kept although they are out of sight
const SIZES = [72, 104, 150, 220, 320];

function node(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function stars(rating) {
  return rating === null || rating === undefined ? "" : "★".repeat(Math.round(rating)) || "☆";
}

function button(text, name, press) {
  const made = node("button", "comfynb-sweep-button jupyter-button", text);
  made.type = "button";
  made.title = name;
  made.setAttribute("aria-label", name);
  made.addEventListener("click", press);
  return made;
}

function render({ model, el }) {
  const stop = new AbortController();
  const on = (target, type, listener, options = {}) =>
    target.addEventListener(type, listener, { signal: stop.signal, ...options });
  const id = Math.random().toString(36).slice(2);
  const say = (event, more = {}) => model.send({ event, view: id, ...more });

  el.classList.add("comfynb-sweep");
  // Without this, JupyterLab takes keys on a focused output for its own commands.
  el.dataset.lmSuppressShortcuts = "true";
  const tools = node("div", "comfynb-sweep-tools");
  const hint = node("span", "comfynb-soft");
  const smaller = button("−", "Smaller pictures", () => resize(-1));
  const larger = button("+", "Larger pictures", () => resize(1));
  tools.append(hint, smaller, larger);
  const scroller = node("div", "comfynb-sweep-scroll");
  const sheet = node("div", "comfynb-sweep-sheet");
  const columnHeads = node("div", "comfynb-sweep-columns");
  const rowHeads = node("div", "comfynb-sweep-rows");
  const cells = node("div", "comfynb-sweep-cells");
  const corner = node("div", "comfynb-sweep-corner");
  sheet.append(columnHeads, rowHeads, cells);
  scroller.append(sheet);
  const viewer = node("div", "comfynb-sweep-viewer");
  viewer.hidden = true;
  el.append(tools, scroller, viewer);

  const known = new Map(); // place -> what the kernel told of it
  const shown = new Map(); // place -> its element
  let active = 0; // the cell that Tab reaches
  let open = null; // what the viewer shows
  let told = ""; // what was last said to be in sight
  let timer = 0;

  // Where things are ---------------------------------------------------------------------------

  const table = () => model.get("columns") > 0;
  const headWidth = () => (table() ? model.get("head_width") : 0);
  const size = () => model.get("size");
  const step = () => size() + GAP;
  const rowStep = () => size() + CAPTION + GAP;
  const across = () =>
    table() ? model.get("columns") : Math.max(1, Math.floor((scroller.clientWidth - GAP) / step()));
  const down = () => Math.ceil(model.get("total") / across());

  function resize(by) {
    const at = SIZES.reduce((best, s, i) =>
      Math.abs(s - size()) < Math.abs(SIZES[best] - size()) ? i : best, 0);
    model.set("size", SIZES[Math.min(Math.max(at + by, 0), SIZES.length - 1)]);
    model.save_changes();
  }

  function inSight() {
    const columns = across();
    const top = Math.max(0, scroller.scrollTop - (table() ? 0 : 0));
    const first = Math.max(0, Math.floor(top / rowStep()) - 1);
    const last = Math.min(down() - 1, Math.floor((top + scroller.clientHeight) / rowStep()) + 1);
    const left = table() ? Math.max(0, Math.floor(scroller.scrollLeft / step()) - 1) : 0;
    const right = table()
      ? Math.min(columns - 1, Math.floor((scroller.scrollLeft + scroller.clientWidth) / step()) + 1)
      : columns - 1;
    const places = [];
    for (let row = first; row <= last; row += 1)
      for (let column = left; column <= right; column += 1) {
        const place = row * columns + column;
        if (place < model.get("total")) places.push(place);
      }
    return { places, first, last, left, right };
  }

  // Painting -------------------------------------------------------------------------------------

  function layOut() {
    const columns = across();
    sheet.style.width = table() ? `${headWidth() + columns * step() + GAP}px` : "100%";
    sheet.style.height = `${(table() ? HEAD : 0) + down() * rowStep() + GAP}px`;
    columnHeads.hidden = rowHeads.hidden = !table();
    columnHeads.style.height = `${HEAD}px`;
    rowHeads.style.width = `${headWidth()}px`;
    rowHeads.style.height = `${down() * rowStep()}px`;
    cells.style.top = `${table() ? HEAD : 0}px`;
    cells.style.left = `${headWidth()}px`;
    scroller.style.height = `${Math.min(down() * rowStep() + GAP + (table() ? HEAD + 14 : 4), 560)}px`;
    cells.setAttribute("aria-colcount", String(columns));
    hint.textContent = model.get("hint");
    cells.setAttribute("aria-label", model.get("label"));
    smaller.disabled = size() <= SIZES[0];
    larger.disabled = size() >= SIZES[SIZES.length - 1];
  }

  function paintHeads({ first, last, left, right }) {
    if (!table()) return;
    const place = (strip, texts, from, to, style) => {
      strip.replaceChildren();
      for (let at = from; at <= to && at < texts.length; at += 1) {
        const head = node("div", "comfynb-sweep-head", texts[at]);
        head.title = texts[at];
        style(head, at);
        strip.append(head);
      }
    };
    place(columnHeads, model.get("column_heads"), left, right, (head, at) => {
      head.style.left = `${headWidth() + at * step() + GAP}px`;
      head.style.width = `${size()}px`;
    });
    place(rowHeads, model.get("row_heads"), first, last, (head, at) => {
      head.style.top = `${at * rowStep() + GAP}px`;
      head.style.width = `${headWidth() - 8}px`;
      head.style.height = `${size()}px`;
    });
    corner.textContent = model.get("corner");
    corner.title = model.get("corner");
    corner.style.width = `${headWidth()}px`;
    columnHeads.prepend(corner);
  }

  function make(place) {
    const cell = node("button", "comfynb-sweep-cell");
    cell.type = "button";
    cell.dataset.place = String(place);
    cell.tabIndex = place === active ? 0 : -1;
    const picture = node("span", "comfynb-sweep-picture");
    const caption = node("span", "comfynb-sweep-caption");
    const state = node("span", "comfynb-sweep-state");
    const words = node("span", "comfynb-sweep-words");
    caption.append(words, state);
    cell.append(picture, caption);
    on(cell, "click", () => enlarge(place, 0));
    on(cell, "focus", () => { activate(place); });
    return cell;
  }

  function put(cell, place) {
    const columns = across();
    cell.style.left = `${(place % columns) * step() + GAP}px`;
    cell.style.top = `${Math.floor(place / columns) * rowStep() + GAP}px`;
    cell.style.width = `${size()}px`;
    cell.style.height = `${size() + CAPTION}px`;
  }

  function fill(cell, place) {
    const point = known.get(place);
    const [picture, caption] = cell.children;
    const [words, state] = caption.children;
    if (point === undefined) {
      cell.className = "comfynb-sweep-cell comfynb-pending";
      cell.setAttribute("aria-label", `point ${place}`);
      return;
    }
    cell.className = `comfynb-sweep-cell ${point.css}`;
    cell.disabled = point.empty;
    cell.setAttribute("aria-label", point.label);
    cell.title = point.label;
    picture.style.height = `${size() - 8}px`;
    if (point.url) {
      if (picture.firstChild?.tagName !== "IMG") picture.replaceChildren(node("img"));
      if (picture.firstChild.src !== point.url) picture.firstChild.src = point.url;
      picture.firstChild.alt = "";
    } else {
      const sign = node("span", "comfynb-sweep-sign", point.empty ? "" : point.sign);
      sign.setAttribute("aria-hidden", "true");
      picture.replaceChildren(sign, node("span", "comfynb-sweep-why", point.why || ""));
    }
    words.textContent = point.caption;
    state.replaceChildren(
      node("span", "comfynb-sign", point.empty ? "" : point.sign),
      node("span", "comfynb-sweep-word", point.note),
      node("span", "comfynb-sweep-stars", stars(point.rating)),
    );
  }

  function activate(place) {
    const before = shown.get(active);
    if (before) before.tabIndex = -1;
    active = place;
    const now = shown.get(place);
    if (now) now.tabIndex = 0;
  }

  function paint() {
    timer = 0;
    if (!el.isConnected || scroller.clientWidth === 0) return;
    layOut();
    const sight = inSight();
    const wanted = new Set(sight.places);
    for (const [place, cell] of shown) {
      if (!wanted.has(place) && cell !== document.activeElement) {
        cell.remove();
        shown.delete(place);
      }
    }
    if (!wanted.has(active) && !shown.has(active)) active = sight.places[0] ?? 0;
    for (const place of sight.places) {
      let cell = shown.get(place);
      if (cell === undefined) {
        cell = make(place);
        shown.set(place, cell);
        cells.append(cell);
        fill(cell, place);
      }
      put(cell, place);
      cell.tabIndex = place === active ? 0 : -1;
      cell.firstChild.style.height = `${size() - 8}px`;
    }
    paintHeads(sight);
    const lacking = sight.places.filter((place) => !known.has(place));
    const telling = JSON.stringify([sight.places, lacking]);
    if (telling !== told) {
      told = telling;
      say("see", { places: sight.places, lacking });
    }
    forget(wanted);
  }

  function soon() {
    if (timer === 0) timer = window.setTimeout(() => requestAnimationFrame(paint), 40);
  }

  function forget(wanted) {
    for (const place of known.keys()) {
      if (known.size <= KEPT) return;
      if (wanted.has(place)) continue;
      const { url } = known.get(place);
      if (url) URL.revokeObjectURL(url);
      known.delete(place);
    }
  }

  // The viewer -------------------------------------------------------------------------------------

  function enlarge(place, picture) {
    open = { place, picture };
    say("open", { place, picture });
  }

  function close() {
    const place = open?.place ?? active;
    open = null;
    if (viewer.dataset.url) URL.revokeObjectURL(viewer.dataset.url);
    delete viewer.dataset.url;
    viewer.hidden = true;
    viewer.replaceChildren();
    shown.get(place)?.focus();
    say("close");
  }

  function walk(by) {
    let place = open.place;
    do place += by;
    while (known.get(place)?.empty && place >= 0 && place < model.get("total"));
    if (place >= 0 && place < model.get("total")) enlarge(place, 0);
  }

  function rate(value) {
    say("rate", { place: open.place, picture: open.picture, stars: value });
  }

  function view(told, buffer) {
    if (open === null || told.place !== open.place || told.picture !== open.picture) return;
    const focused = viewer.contains(document.activeElement)
      ? document.activeElement.dataset.name : undefined;
    const bar = node("div", "comfynb-sweep-bar");
    const named = (made, name) => { made.dataset.name = name; return made; };
    bar.append(
      named(button("‹ Previous", "Previous point", () => walk(-1)), "previous"),
      named(button("Next ›", "Next point", () => walk(1)), "next"),
    );
    if (told.pictures > 1) {
      const of = `picture ${told.picture + 1} of ${told.pictures}`;
      bar.append(named(
        button(of, "Next picture of this point", () =>
          enlarge(open.place, (open.picture + 1) % told.pictures)), "picture"));
    }
    if (told.pictures > 0) {
      const rating = node("span", "comfynb-sweep-rating");
      rating.setAttribute("role", "radiogroup");
      rating.setAttribute("aria-label", "Rating");
      for (let value = 1; value <= 5; value += 1) {
        const on_ = told.rating !== null && value <= Math.round(told.rating);
        const star = button(on_ ? "★" : "☆", `${value} of 5 stars`, () =>
          rate(value === told.rating ? null : value));
        star.setAttribute("role", "radio");
        star.setAttribute("aria-checked", String(value === told.rating));
        rating.append(named(star, `star${value}`));
      }
      bar.append(rating);
    }
    bar.append(named(button("Close", "Close this view", close), "close"));
    const image = node("div", "comfynb-sweep-large");
    if (buffer) {
      if (viewer.dataset.url) URL.revokeObjectURL(viewer.dataset.url);
      viewer.dataset.url = URL.createObjectURL(new Blob([buffer], { type: told.type }));
    } else if (told.fresh) {
      delete viewer.dataset.url;
    }
    if (viewer.dataset.url) {
      const large = node("img");
      large.src = viewer.dataset.url;
      large.alt = told.label;
      image.append(large);
    } else {
      image.append(node("span", "comfynb-soft", told.why || "…"));
    }
    const facts = node("div", "comfynb-sweep-facts");
    for (const [name, value] of told.facts) {
      const row = node("div", "comfynb-sweep-fact");
      row.append(node("span", "comfynb-sweep-name", name), node("span", "comfynb-sweep-value", value));
      facts.append(row);
    }
    const body = node("div", "comfynb-sweep-body");
    body.append(image, facts);
    viewer.replaceChildren(bar, body);
    viewer.hidden = false;
    const again = focused && viewer.querySelector(`[data-name="${CSS.escape(focused)}"]`);
    (again || viewer.querySelector("[data-name=next]")).focus({ preventScroll: Boolean(again) });
  }

  // What comes in ----------------------------------------------------------------------------------

  const heard = (message, buffers) => {
    if (message.cells) {
      for (const cell of message.cells) {
        const before = known.get(cell.place);
        if (cell.image >= 0) {
          if (before?.url) URL.revokeObjectURL(before.url);
          cell.url = URL.createObjectURL(new Blob([buffers[cell.image]], { type: cell.type }));
        } else if (cell.image === -1 && before?.url) {
          cell.url = before.url; // the picture is still the same
        }
        known.delete(cell.place); // the newest are forgotten last
        known.set(cell.place, cell);
        const element = shown.get(cell.place);
        if (element) fill(element, cell.place);
      }
    } else if (message.viewer) {
      view(message.viewer, buffers[0]);
    } else if (message.anew) {
      for (const { url } of known.values()) if (url) URL.revokeObjectURL(url);
      known.clear();
      for (const cell of shown.values()) cell.remove();
      shown.clear();
      told = "";
      soon();
    }
  };

  on(el, "keydown", (event) => {
    if (open !== null && viewer.contains(event.target)) {
      if (event.key === "Escape") close();
      else if (event.key === "ArrowLeft") walk(-1);
      else if (event.key === "ArrowRight") walk(1);
      else if (/^[0-5]$/.test(event.key)) rate(event.key === "0" ? null : Number(event.key));
      else return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across(), ArrowDown: across() }[event.key];
    if (by === undefined || !cells.contains(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    const next = active + by;
    if (next < 0 || next >= model.get("total")) return;
    const row = Math.floor(next / across());
    const top = row * rowStep();
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    const end = top + rowStep() + (table() ? HEAD : 0) + GAP;
    if (end > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = end - scroller.clientHeight;
    activate(next);
    paint();
    shown.get(next)?.focus({ preventScroll: true });
  });
  on(scroller, "scroll", soon, { passive: true });
  const watch = new ResizeObserver(soon);
  watch.observe(el);
  const traits = ["total", "columns", "size", "head_width", "row_heads", "column_heads", "hint", "label", "corner"];
  const changed = traits.map((name) => `change:${name}`).join(" ");
  const refresh = () => {
    for (const [place, cell] of shown) { put(cell, place); fill(cell, place); }
    paint();
  };
  model.on("msg:custom", heard);
  model.on(changed, refresh);
  say("ready");
  soon();
  return () => {
    stop.abort();
    watch.disconnect();
    model.off(changed, refresh);
    model.off("msg:custom", heard);
    for (const { url } of known.values()) if (url) URL.revokeObjectURL(url);
    say("gone");
  };
}

export default { render };
