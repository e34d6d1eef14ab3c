// A button that sends a file to the kernel in pieces, each one asked for: the notebook server closes
// a connection on which one message is too large. Files can be dropped on it too.

const PIECE = 2 * 1024 * 1024;

function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-widgets jupyter-button widget-button comfynb-upload";
  const input = document.createElement("input");
  input.type = "file";
  input.hidden = true;
  el.append(button, input);
  let file = null;
  let sending = 0;

  function paint(text) {
    button.textContent = text || model.get("description");
    button.title = model.get("tooltip");
    button.disabled = model.get("disabled");
    input.accept = model.get("accept");
  }

  async function send(offset) {
    const piece = await file.slice(offset, offset + PIECE).arrayBuffer();
    const content = { kind: "piece", number: sending, name: file.name, size: file.size, offset };
    model.send(content, undefined, [piece]);
    if (file.size > PIECE) paint(`Sending ${Math.round((100 * offset) / file.size)} %`);
  }

  function begin(chosen) {
    if (!chosen || button.disabled) return;
    file = chosen;
    sending += 1;
    send(0);
  }

  function answered(message) {
    if (message.number !== sending || !file) return;
    if (message.kind === "next") {
      send(message.offset);
    } else {
      file = null;
      paint();
    }
  }

  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    begin(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  button.addEventListener("dragover", (event) => event.preventDefault());
  button.addEventListener("drop", (event) => {
    event.preventDefault();
    begin(event.dataTransfer.files[0]);
  });
  const refresh = () => paint();
  model.on("msg:custom", answered);
  model.on("change:description change:tooltip change:disabled change:accept", refresh);
  paint();
  return () => {
    model.off("msg:custom", answered);
    model.off("change:description change:tooltip change:disabled change:accept", refresh);
  };
}

export default { render };
