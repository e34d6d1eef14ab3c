// A text with a button that copies it and one that downloads it.

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "comfynb-file";
  const bar = document.createElement("div");
  bar.className = "comfynb-file-bar";
  const name = document.createElement("b");
  const facts = document.createElement("span");
  facts.className = "comfynb-soft comfynb-num";
  const said = document.createElement("span");
  said.className = "comfynb-file-said";
  said.setAttribute("role", "status");
  const pre = document.createElement("pre");
  pre.tabIndex = 0;

  function button(text, title, press) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "jupyter-widgets jupyter-button widget-button";
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", press);
    return made;
  }

  function select() {
    const range = document.createRange();
    range.selectNodeContents(pre);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(model.get("text"));
      said.textContent = "Copied";
      return;
    } catch {
      // Not permitted, or a page without TLS, where there is no such thing as a clipboard.
    }
    pre.focus();
    select();
    let copied = false;
    try {
      copied = document.execCommand("copy");
    } catch {
      copied = false;
    }
    const key = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘C" : "Ctrl+C";
    said.textContent = copied ? "Copied" : `The text is selected: ${key} copies it`;
  }

  function download() {
    const blob = new Blob([model.get("text")], { type: "text/plain;charset=utf-8" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = model.get("name");
    document.body.append(link);
    link.click();
    link.remove();
    // The browser reads it after this; a minute is enough for any disk.
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    said.textContent = "Handed to the browser's downloads";
  }

  bar.append(
    name,
    facts,
    said,
    button("Copy", "Copy the whole text", copy),
    button("Download", "Save it where the browser keeps downloads", download),
  );
  box.append(bar, pre);
  el.append(box);

  function paint() {
    const text = model.get("text");
    const lines = text === "" ? 0 : text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    name.textContent = model.get("name");
    facts.textContent = `${lines.toLocaleString()} lines`;
    pre.textContent = text;
    said.textContent = "";
  }
  model.on("change:text change:name", paint);
  paint();
  return () => model.off("change:text change:name", paint);
}

export default { render };
