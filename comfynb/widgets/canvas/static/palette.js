// What can be added to a graph: a search and a grouped list, by keyboard, click, or drag.
// Filtering happens here, so it works while the kernel is busy. Nothing is ever set as HTML.

const SHOWN = 120;

function matching(items, text) {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word.length > 0);
  return items.filter((item) => {
    const all = `${item.title} ${item.group} ${item.hint} ${item.keywords}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

function render({ model, el }) {
  const id = "comfynb-palette-" + Math.random().toString(36).slice(2);
  const root = document.createElement("div");
  root.className = "comfynb-palette-inside";
  root.dataset.lmSuppressShortcuts = "true";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Find a node…";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-label", "Find a node to add");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", id);
  const note = document.createElement("div");
  note.className = "comfynb-palette-note";
  const list = document.createElement("div");
  list.id = id;
  list.className = "comfynb-palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Nodes");
  root.append(input, note, list);
  el.append(root);

  let shown = [];
  let at = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const mark = (place) => {
    const all = options();
    at = Math.min(Math.max(place, 0), all.length - 1);
    all.forEach((one, i) => one.setAttribute("aria-selected", String(i === at)));
    if (all[at]) {
      input.setAttribute("aria-activedescendant", all[at].id);
      // Not scrollIntoView: that would move the page as well.
      const item = all[at];
      const top = at === 0 ? 0 : item.offsetTop - list.offsetTop;
      if (top < list.scrollTop) list.scrollTop = top;
      const end = item.offsetTop - list.offsetTop + item.offsetHeight;
      if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };
  const pick = (item) => {
    if (!item) return;
    model.send({ event: "pick", key: item.key });
    input.value = "";
    draw();
  };

  const line = (item, place) => {
    const one = document.createElement("div");
    one.id = `${id}-${place}`;
    one.className = `comfynb-palette-item comfynb-kind-${item.kind}`;
    one.setAttribute("role", "option");
    one.draggable = true;
    const title = document.createElement("span");
    title.className = "comfynb-palette-title";
    title.textContent = item.title;
    const hint = document.createElement("span");
    hint.className = "comfynb-palette-hint";
    hint.textContent = item.hint;
    one.title = item.hint ? `${item.title}: ${item.hint}` : item.title;
    one.append(title, hint);
    one.addEventListener("click", () => pick(item));
    one.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("application/x-comfynb-palette", item.key);
      event.dataTransfer.effectAllowed = "copy";
    });
    return one;
  };

  const draw = () => {
    const all = matching(model.get("items"), input.value);
    shown = all.slice(0, SHOWN);
    const parts = [];
    let group = null;
    shown.forEach((item, place) => {
      if (item.group !== group) {
        group = item.group;
        const head = document.createElement("div");
        head.className = "comfynb-palette-group";
        head.textContent = group;
        parts.push(head);
      }
      parts.push(line(item, place));
    });
    list.replaceChildren(...parts);
    const words = model.get("note");
    const more = all.length - shown.length;
    note.textContent = all.length === 0 ? "Nothing by that name." : more > 0 ? `${words} ${more} more: type to find them.` : words;
    mark(0);
  };

  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) mark(at + step);
    else if (event.key === "Enter") pick(shown[at]);
    else if (event.key === "Escape") model.send({ event: "close" });
    else { event.stopPropagation(); return; }
    event.preventDefault();
    event.stopPropagation();
  });
  const heard = (message) => {
    if (message.focus) {
      // A panel that was hidden until now is shown in the same turn.
      requestAnimationFrame(() => requestAnimationFrame(() => {
        if (input.offsetParent !== null) { input.focus({ preventScroll: true }); input.select(); }
      }));
    }
  };
  model.on("msg:custom", heard);
  model.on("change:items", draw);
  model.on("change:note", draw);
  draw();
  return () => {
    model.off("msg:custom", heard);
    model.off("change:items", draw);
    model.off("change:note", draw);
  };
}

export default { render };
