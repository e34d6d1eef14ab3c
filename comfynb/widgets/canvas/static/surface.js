// The window onto the canvas: takes focus, keys and the pointer, and knows the page.
// It lies over the drawing, so ipycanvas's own listeners (which send every mouse move, and keep
// every key from the page) never hear anything. Mouse events themselves are read by ipyevents;
// here it is only decided which moves it gets to see.

const PLAIN = new Set([
  "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Delete", "Backspace", "Escape",
  "e", "f", "l", "n", "+", "=", "-", "0", "[", "]",
]);
const WITH_CTRL = new Set(["z", "y", "a", "c", "x", "v", "d"]);

// Milliseconds after which a move counts as answered: a cell may hold the kernel up.
const PATIENCE = 1000;

// Milliseconds without a move after which the last answer is told to be on screen.
const QUIET = 150;

function isOurs(event) {
  if (event.altKey || event.isComposing) return false;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return event.ctrlKey || event.metaKey ? WITH_CTRL.has(key) : PLAIN.has(key);
}

function isDark() {
  const lab = document.body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  // Elsewhere: what the page is painted in, else what the system prefers.
  for (const element of [document.body, document.documentElement]) {
    const parts = getComputedStyle(element).backgroundColor.match(/[\d.]+/g);
    if (parts && (parts.length < 4 || Number(parts[3]) > 0)) {
      const [r, g, b] = parts.map(Number);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b < 128;
    }
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function render({ model, el }) {
  const stop = new AbortController();
  const on = (target, type, listener, options = {}) =>
    target.addEventListener(type, listener, { signal: stop.signal, ...options });

  el.classList.add("comfynb-surface");
  el.tabIndex = 0;
  el.setAttribute("role", "application");
  el.setAttribute("aria-roledescription", "graph editor");
  // Without this, JupyterLab takes letters on a focused output for its own commands: X cuts cells.
  el.dataset.lmSuppressShortcuts = "true";
  el.dataset.jpSuppressContextMenu = "";

  const label = () => el.setAttribute("aria-label", model.get("label"));
  const cursor = () => { el.style.cursor = model.get("cursor"); };
  const stage = () => el.closest(".comfynb-stage");
  const paint = () => {
    const dark = isDark();
    stage()?.classList.toggle("comfynb-stage-dark", dark);
    return dark;
  };

  // The page: theme, pixel ratio, size.
  const measure = () => {
    if (!el.isConnected || el.clientWidth === 0) return;
    model.set("dark", paint());
    model.set("ratio", Math.min(Math.max(window.devicePixelRatio || 1, 1), 3));
    model.set("width", el.clientWidth);
    model.set("height", el.clientHeight);
    model.save_changes();
  };
  const sizes = new ResizeObserver(measure);
  sizes.observe(el);
  const themes = new MutationObserver(measure);
  themes.observe(document.body, { attributes: true });
  on(matchMedia("(prefers-color-scheme: dark)"), "change", measure);
  // A window that is zoomed or moves to another screen changes its ratio.
  on(window, "resize", measure);
  let ratios = null;
  const watchRatio = () => {
    ratios?.removeEventListener("change", watchRatio);
    ratios = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    ratios.addEventListener("change", watchRatio);
    measure();
  };

  // With each message JupyterLab swaps the tab's icon as the kernel turns busy and idle, and the
  // browser fetches it anew: for every move of a drag, more work than the frame itself. Unmarked
  // icons are left alone. The release is a message as well, so the icon is right again after it.
  let icons = [];
  const hold = (on) => {
    if (on && icons.length === 0) icons = [...document.querySelectorAll("link.favicon")];
    for (const icon of icons) icon.classList.toggle("favicon", !on);
    if (!on) icons = [];
  };
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    on(el, type, () => hold(false), { capture: true });
  }

  // The pointer is ours until the button is released, wherever it goes.
  on(el, "pointerdown", (event) => {
    hold(true);
    el.focus({ preventScroll: true });
    if (event.pointerType === "mouse" || event.pointerType === "pen") {
      el.setPointerCapture(event.pointerId);
    }
  });
  on(el, "contextmenu", (event) => { event.preventDefault(); event.stopPropagation(); });
  // JupyterLab would select the cell and take the focus back.
  on(el, "mousedown", (event) => {
    event.stopPropagation();
    if (event.button === 1) event.preventDefault(); // no automatic scrolling
  });
  // One move at a time: the next one goes to the kernel when it has answered the last one, and then
  // it is the newest. Each message makes JupyterLab show the kernel as busy and as idle again, which
  // costs the page more than a frame does; moves that nobody will see would put it behind the hand.
  let asked = -Infinity;
  let moves = 0;
  let held = null;
  let passing = null;
  const pass = () => {
    held = null;
    asked = performance.now();
    moves += 1;
    seen = 0; // the move says so itself
    hurry = false;
  };
  on(el, "mousemove", (event) => {
    if (event === passing) return;
    if (performance.now() - asked < PATIENCE) {
      held = event;
      event.stopImmediatePropagation();
    } else {
      pass();
    }
  }, { capture: true });
  const answered = () => {
    asked = -Infinity;
    if (held === null) return;
    passing = new MouseEvent("mousemove", held);
    pass();
    el.dispatchEvent(passing);
  };

  // Frames are counted back once they are on screen, so that no more are sent than are shown. Of a
  // frame that answers a move, the next move says the same, and mostly there is one.
  let told = 0;
  let seen = 0;
  let quiet = 0;
  let hurry = false;
  const tell = (frame) => {
    if (frame <= told) return;
    told = frame;
    model.send({ event: "shown", frame });
  };
  const tellSeen = () => {
    clearTimeout(quiet);
    if (seen > 0 && !stop.signal.aborted) tell(seen);
    seen = 0;
  };
  const shown = (message, before) => {
    if (stop.signal.aborted) return;
    if (!message.answer || hurry) {
      tell(message.frame);
    } else if (moves === before) {
      seen = message.frame;
      clearTimeout(quiet);
      quiet = setTimeout(tellSeen, QUIET);
    }
  };

  // These say where the pointer is themselves; a move from before must not come after them.
  for (const type of ["mousedown", "mouseup", "dblclick", "mouseleave"]) {
    on(el, type, () => { held = null; }, { capture: true });
  }
  // What these ask for must not wait.
  for (const type of ["mousedown", "mouseup", "dblclick", "wheel", "keydown"]) {
    on(el, type, () => { hurry = true; tellSeen(); }, { capture: true });
  }

  // The wheel scrolls the page unless somebody works here.
  on(el, "wheel", (event) => {
    if (document.activeElement !== el && !event.ctrlKey) event.stopImmediatePropagation();
  }, { capture: true });

  on(el, "keydown", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({
      event: "key", key: event.key, shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey,
      time: event.timeStamp,
    });
  });
  on(el, "focus", () => stage()?.classList.add("comfynb-stage-focus"));
  on(el, "blur", () => stage()?.classList.remove("comfynb-stage-focus"));

  // An item of the palette dropped here.
  on(el, "dragover", (event) => {
    if (event.dataTransfer.types.includes("application/x-comfynb-palette")) {
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
    }
  });
  on(el, "drop", (event) => {
    const key = event.dataTransfer.getData("application/x-comfynb-palette");
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    const place = el.getBoundingClientRect();
    model.send({ event: "drop", key, x: event.clientX - place.left, y: event.clientY - place.top });
    el.focus({ preventScroll: true });
  });

  const heard = (message) => {
    if (message.frame !== undefined) {
      const before = moves;
      if (message.answer) answered();
      // A task that is asked for within a frame runs once that frame has been painted.
      requestAnimationFrame(() => setTimeout(() => shown(message, before), 0));
    } else if (message.focus) {
      el.focus({ preventScroll: true });
    }
  };
  // Frames go to ipycanvas's own model. Listening there saves a message for each.
  let painter = null;
  const painted = (content) => {
    if (content.comfynb?.surface === model.get("key")) heard(content.comfynb);
  };
  const setDirect = (direct) => {
    if (stop.signal.aborted) return;
    model.set("direct", direct);
    model.save_changes();
  };
  Promise.resolve().then(() => model.widget_manager.get_model(model.get("painter"))).then((found) => {
    if (stop.signal.aborted) return;
    painter = found;
    painter.on("msg:custom", painted);
    setDirect(true);
  }).catch(() => setDirect(false)); // a page that keeps its models to itself: told one by one
  model.on("msg:custom", heard);
  model.on("change:label", label);
  model.on("change:cursor", cursor);
  label();
  cursor();
  // The view is in the page only after this function returned.
  requestAnimationFrame(() => {
    if (stop.signal.aborted) return;
    watchRatio();
    model.send({ event: "ready" });
  });

  return () => {
    stop.abort();
    hold(false);
    clearTimeout(quiet);
    painter?.off("msg:custom", painted);
    sizes.disconnect();
    themes.disconnect();
    ratios?.removeEventListener("change", watchRatio);
    model.off("msg:custom", heard);
    model.off("change:label", label);
    model.off("change:cursor", cursor);
  };
}

export default { render };
