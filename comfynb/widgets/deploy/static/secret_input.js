// A password box whose text is sent once, as a message, and then forgotten: it is never a trait,
// so no saved widget state, no autosave and no second view of it can hold it.

function render({ model, el }) {
  const form = document.createElement("form");
  form.className = "comfynb-secret";
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  input.type = "password";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("data-1p-ignore", "");
  input.setAttribute("data-lpignore", "true");
  const button = document.createElement("button");
  button.type = "submit";
  button.className = "jupyter-widgets jupyter-button widget-button mod-primary";
  label.append(name, input);
  form.append(label, button);
  el.append(form);

  function paint() {
    name.textContent = model.get("label");
    input.placeholder = model.get("placeholder");
    button.textContent = model.get("description");
    input.disabled = model.get("disabled");
    button.disabled = model.get("disabled") || input.value === "";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    const text = input.value;
    input.value = "";
    paint();
    if (text !== "") model.send({ kind: "secret", text });
  });
  input.addEventListener("input", paint);
  // Not to be found again by going back, or by a page that is shown out of a cache.
  const forget = () => { input.value = ""; };
  window.addEventListener("pagehide", forget);
  const names = "change:label change:description change:placeholder change:disabled";
  model.on(names, paint);
  paint();
  return () => {
    forget();
    window.removeEventListener("pagehide", forget);
    model.off(names, paint);
  };
}

export default { render };
