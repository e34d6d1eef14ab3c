// Draws plots of metrics with plotly.js, which the kernel sends once for each page. Colours follow
// the page's theme and times the reader's time zone. Nothing is ever set as HTML here; foreign text
// reaches plotly only with its angle brackets as entities.

const SHARED = Symbol.for("comfynb.plotly");
const ASK_AGAIN = 20000; // milliseconds after which the library is asked for once more
const MOST = 2000; // points of one trace

// plotly.js, once for a page ---------------------------------------------------------------------

function shared() {
  if (!globalThis[SHARED]) {
    const one = { asked: 0 };
    one.ready = new Promise((resolve) => { one.resolve = resolve; });
    globalThis[SHARED] = one;
  }
  return globalThis[SHARED];
}

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(stream).text();
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const before = { Plotly: window.Plotly, moduleName: window.moduleName };
  try {
    await new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = done;
      script.onerror = () => failed(new Error("plotly.js could not be started"));
      document.head.append(script);
    });
    return window.Plotly;
  } finally {
    URL.revokeObjectURL(url);
    Object.assign(window, before); // what else is on the page keeps its own
  }
}

function library(model, stopped) {
  const one = shared();
  const ask = () => {
    if (one.loaded || stopped.aborted) return;
    if (Date.now() - one.asked >= ASK_AGAIN) {
      one.asked = Date.now();
      model.send({ event: "library" });
    }
    setTimeout(ask, ASK_AGAIN);
  };
  ask();
  return one.ready;
}

async function received(bytes) {
  const one = shared();
  if (one.loaded) return;
  one.loaded = true;
  one.resolve(await unpack(bytes));
}

// Theme and time ---------------------------------------------------------------------------------

function palette(el) {
  const style = getComputedStyle(el);
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: read("--jp-ui-font-color1", style.color),
    soft: read("--jp-ui-font-color2", "#767676"),
    line: read("--jp-border-color2", "rgba(128, 128, 128, 0.3)"),
    base: read("--jp-layout-color1", "#ffffff"),
    // plotly draws an outline against it around what it puts over a plot.
    page: read("--jp-layout-color0", "rgba(0, 0, 0, 0)"),
    font: read("--jp-ui-font-family", "system-ui, sans-serif"),
  };
}

function themed(layout, el) {
  const seen = palette(el);
  const made = {
    ...layout,
    paper_bgcolor: seen.page,
    plot_bgcolor: seen.page,
    font: { ...layout.font, color: seen.text, family: seen.font },
    hoverlabel: {
      bgcolor: seen.base, bordercolor: seen.soft, align: "left", namelength: 40,
      font: { color: seen.text, family: seen.font, size: 12 },
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: seen.soft, activecolor: seen.text },
  };
  for (const name of Object.keys(made)) {
    if (!/^[xy]axis\d*$/.test(name)) continue;
    made[name] = { ...made[name], gridcolor: seen.line, linecolor: seen.soft };
    if (made[name].showspikes) made[name].spikecolor = seen.soft;
    if (name === "xaxis" && made[name].type === "date" && made[name].title) {
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      made[name].title = { ...made[name].title, text: `Time (${zone})` };
    }
  }
  return made;
}

// plotly writes a date axis's range as local time without a zone, as it draws numbers.
function milliseconds(value) {
  if (typeof value === "number") return value;
  const text = String(value).replace(" ", "T").replace(/(\.\d{3})\d+$/, "$1");
  return new Date(text.includes("T") ? text : `${text}T00:00`).getTime();
}

function floats(view, Kind) {
  const { buffer, byteOffset, byteLength } = view;
  return Array.from(new Kind(buffer.slice(byteOffset, byteOffset + byteLength)));
}

// The view -----------------------------------------------------------------------------------------

function render({ model, el }) {
  const stop = new AbortController();
  const stopped = stop.signal;
  const id = Math.random().toString(36).slice(2);
  const say = (event, more = {}) => model.send({ event, view: id, ...more });

  el.classList.add("comfynb-metrics-page");
  // Without this, JupyterLab takes keys on a focused output for its own commands.
  el.dataset.lmSuppressShortcuts = "true";
  const plot = document.createElement("div");
  plot.className = "comfynb-metrics-plot";
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", model.get("label"));
  plot.style.minHeight = `${model.get("height")}px`;
  el.append(plot);

  let Plotly = null;
  let figure = null; // {data, layout} as the kernel sent it, with the points in
  let revision = 0;
  let waiting = null; // the sequence of what is to be drawn
  let drawn = null; // and of what is
  let drawing = false;
  let dragging = false; // a redraw would end what the mouse has begun
  let held = false; // zoomed here; the kernel's answer is on its way

  const config = {
    displaylogo: false,
    doubleClick: false,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "toImage"]],
    displayModeBar: "hover",
    locale: "en-GB",
    responsive: false,
  };

  async function draw() {
    if (!Plotly || !figure || drawing || dragging || held || !el.isConnected || !el.clientWidth) return;
    drawing = true;
    try {
      while (waiting !== null && !stopped.aborted) {
        const sequence = waiting;
        waiting = null;
        revision += 1;
        const layout = { ...themed(figure.layout, el), datarevision: revision, autosize: true };
        // What was hidden by hand stays so; which times are shown is up to the kernel.
        layout.xaxis = { ...layout.xaxis, uirevision: revision };
        plot.style.minHeight = `${layout.height}px`;
        const first = !plot.on;
        await Plotly.react(plot, figure.data, layout, config);
        if (first) listen();
        drawn = sequence;
        say("drawn", { sequence });
      }
    } finally {
      drawing = false;
    }
  }

  function later(sequence) {
    waiting = sequence;
    requestAnimationFrame(draw);
  }

  function listen() {
    plot.on("plotly_relayout", (changes) => {
      const axis = plot._fullLayout.xaxis;
      const touched = Object.keys(changes).some((name) => name.startsWith("xaxis.range"));
      if (changes["xaxis.autorange"]) say("live");
      else if (touched) {
        held = true;
        say("zoom", { range: axis.range.map(milliseconds) });
      }
    });
    plot.on("plotly_doubleclick", () => say("live"));
    plot.on("plotly_click", ({ points }) => {
      const ids = points.map((point) => point.customdata).find((one) => Array.isArray(one));
      if (ids) say("job", { ids });
    });
    const over = (on) => plot.classList.toggle("comfynb-metrics-over", on);
    plot.on("plotly_hover", ({ points }) => over(points.some((one) => Array.isArray(one.customdata))));
    plot.on("plotly_unhover", () => over(false));
  }

  const kinds = {
    figure({ data, layout, lines, sequence }, buffers) {
      for (let place = 0; place < lines; place += 1) {
        data[place].x = floats(buffers[2 * place], Float64Array);
        data[place].y = floats(buffers[2 * place + 1], Float32Array);
      }
      figure = { data, layout };
      held = false;
      later(sequence);
    },
    extend({ since, places, range, traces, sequence }, buffers) {
      if (!figure) return;
      if (held) {
        say("drawn", { sequence });
        return;
      }
      places.forEach((place, turn) => {
        const trace = figure.data[place];
        const keep = trace.x.findLastIndex((time) => time < since) + 1;
        const x = [...trace.x.slice(0, keep), ...floats(buffers[2 * turn], Float64Array)];
        const y = [...trace.y.slice(0, keep), ...floats(buffers[2 * turn + 1], Float32Array)];
        // One point left of the range stays, so that the line comes from the edge.
        const from = Math.max(x.findIndex((time) => time >= range[0]) - 1, x.length - MOST, 0);
        figure.data[place] = { ...trace, x: x.slice(from), y: y.slice(from) };
      });
      for (const [place, trace] of Object.entries(traces)) figure.data[place] = trace;
      figure.layout = { ...figure.layout, xaxis: { ...figure.layout.xaxis, range } };
      later(sequence);
    },
  };

  const heard = (message, buffers) => {
    if (message.kind === "library") received(buffers[0]);
    else kinds[message.kind]?.(message, buffers);
  };
  model.on("msg:custom", heard);

  const released = () => {
    if (!dragging) return;
    dragging = false;
    setTimeout(draw, 80); // after plotly has taken note of what was dragged
  };
  plot.addEventListener("pointerdown", () => { dragging = true; }, { signal: stopped, capture: true });
  for (const type of ["pointerup", "pointercancel", "blur"]) {
    window.addEventListener(type, released, { signal: stopped });
  }

  // In sight or not: the kernel asks for no data while nobody looks.
  let inSight = false;
  let near = false;
  const look = () => {
    const now = near && document.visibilityState === "visible";
    if (now === inSight) return;
    inSight = now;
    say(now ? "see" : "gone");
  };
  const observer = new IntersectionObserver((entries) => {
    near = entries[entries.length - 1].isIntersecting;
    look();
  });
  observer.observe(el);
  document.addEventListener("visibilitychange", look, { signal: stopped });

  const sizes = new ResizeObserver(() => {
    if (waiting !== null) draw();
    else if (plot.on && el.clientWidth) Plotly.Plots.resize(plot);
  });
  sizes.observe(el);

  // A theme is done when its style sheets are in, which is after its name is.
  let timer = 0;
  const themes = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (drawn !== null) later(waiting ?? drawn); }, 60);
  });
  for (const watched of [document.documentElement, document.body]) {
    themes.observe(watched, { attributes: true, attributeFilter: [
      "class", "data-jp-theme-name", "data-jp-theme-light", "data-vscode-theme-kind", "data-theme",
    ] });
  }

  library(model, stopped).then((found) => {
    if (stopped.aborted) return;
    Plotly = found;
    draw();
  });
  say("hello");

  return () => {
    stop.abort();
    observer.disconnect();
    sizes.disconnect();
    themes.disconnect();
    clearTimeout(timer);
    model.off("msg:custom", heard);
    if (plot.on) Plotly.purge(plot);
    say("gone");
  };
}

export default { render };
