// A text box that filters a long list of options: the ARIA "combobox with list" pattern.
// Filtering happens here, so it works while the kernel is busy. Nothing is ever set as HTML.

const SHOWN = 200;

function words(text) {
  return text.toLowerCase().split(/\s+/).filter((word) => word.length > 0);
}

function matching(options, text) {
  const wanted = words(text);
  return options.filter((option) => {
    const low = option.toLowerCase();
    return wanted.every((word) => low.includes(word));
  });
}

function marked(option, text) {
  // The first place where each word is found, as <mark> between text nodes.
  const low = option.toLowerCase();
  const spans = [];
  for (const word of words(text)) {
    const at = low.indexOf(word);
    if (at >= 0 && low.length === option.length) spans.push([at, at + word.length]);
  }
  spans.sort((a, b) => a[0] - b[0]);
  const out = document.createDocumentFragment();
  let place = 0;
  for (const [from, to] of spans) {
    if (from < place) continue;
    out.append(option.slice(place, from));
    const mark = document.createElement("mark");
    mark.textContent = option.slice(from, to);
    out.append(mark);
    place = to;
  }
  out.append(option.slice(place));
  return out;
}

function render({ model, el }) {
  const id = "comfynb-" + Math.random().toString(36).slice(2);
  const root = document.createElement("div");
  root.className = "comfynb-choose";
  const label = document.createElement("label");
  label.htmlFor = id;
  const box = document.createElement("div");
  box.className = "comfynb-choose-box";
  const input = document.createElement("input");
  input.id = id;
  input.type = "text";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", id + "-list");
  const opener = document.createElement("button");
  opener.type = "button";
  opener.textContent = "▾";
  opener.tabIndex = -1;
  opener.setAttribute("aria-label", "Show all choices");
  const list = document.createElement("ul");
  list.id = id + "-list";
  list.setAttribute("role", "listbox");
  const count = document.createElement("div");
  count.className = "comfynb-choose-count";
  count.setAttribute("aria-live", "polite");
  box.append(input, opener);
  root.append(label, box, list, count);
  el.append(root);

  let open = false;
  let query = ""; // what filters; empty shows all
  let found = [];
  let active = -1;

  function paint() {
    list.hidden = count.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    input.removeAttribute("aria-activedescendant");
    list.replaceChildren();
    if (!open) return;
    const options = model.get("options");
    const notes = model.get("notes");
    found = matching(options, query);
    const shown = found.slice(0, SHOWN);
    if (active >= shown.length) active = shown.length - 1;
    shown.forEach((option, index) => {
      const item = document.createElement("li");
      item.id = `${id}-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(index === active));
      item.append(marked(option, query));
      const note = Object.hasOwn(notes, option) ? notes[option] : "";
      if (note) {
        const beside = document.createElement("span");
        beside.className = "comfynb-choose-note";
        beside.textContent = note;
        item.append(" ", beside);
      }
      // mousedown, not click: the box must not lose the focus first.
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        pick(option);
      });
      list.append(item);
    });
    const rest = found.length - shown.length;
    count.textContent =
      `${found.length} of ${options.length}` + (rest > 0 ? `; type more to see the other ${rest}` : "");
    if (active >= 0) {
      input.setAttribute("aria-activedescendant", `${id}-${active}`);
      // Not scrollIntoView: that would move the page as well.
      const item = list.children[active];
      if (item.offsetTop < list.scrollTop) list.scrollTop = item.offsetTop;
      const end = item.offsetTop + item.offsetHeight;
      if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
    }
  }

  function show(all) {
    open = true;
    query = all ? "" : input.value;
    active = matching(model.get("options"), query).indexOf(input.value);
    paint();
  }

  function hide() {
    open = false;
    paint();
  }

  function pick(option) {
    input.value = option;
    model.set("value", option);
    model.save_changes();
    hide();
  }

  input.addEventListener("input", () => {
    model.set("value", input.value);
    model.save_changes();
    open = true;
    query = input.value;
    active = -1;
    paint();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      event.stopPropagation();
      if (!open) {
        show(true);
      } else {
        const size = Math.min(found.length, SHOWN);
        const step = event.key === "ArrowDown" ? 1 : -1;
        if (size > 0) active = (active + step + (active < 0 && step < 0 ? 1 : 0) + size) % size;
        paint();
      }
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      event.stopPropagation();
      if (active >= 0) pick(found[active]);
      else if (found.length === 1) pick(found[0]);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      hide();
    }
  });
  input.addEventListener("blur", hide);
  opener.addEventListener("mousedown", (event) => {
    event.preventDefault();
    input.focus();
    if (open) hide();
    else show(true);
  });

  function refresh() {
    label.textContent = model.get("label");
    input.placeholder = model.get("placeholder");
    input.disabled = opener.disabled = model.get("disabled");
    input.setAttribute("aria-invalid", String(model.get("invalid")));
    root.classList.toggle("comfynb-invalid", model.get("invalid"));
    if (input.value !== model.get("value")) input.value = model.get("value");
    paint();
  }
  const names = ["label", "placeholder", "disabled", "invalid", "value", "options", "notes"];
  const changed = names.map((name) => `change:${name}`).join(" ");
  model.on(changed, refresh);
  refresh();
  return () => model.off(changed, refresh);
}

export default { render };
