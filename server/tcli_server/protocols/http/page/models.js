// The table of models: choose one, load and unload.

import { ask, askJson, patience } from "./api.js";
import { $, element, show } from "./dom.js";

const MOST_ROWS = 200;

export class ModelTable {
  // `chosen` is called with a row of the index whenever another model is chosen, or the chosen one changes.
  constructor(control, chosen) {
    this.control = control;
    this.chosen = chosen;
    this.index = [];
    this.name = "";
    this.busy = new Set();
    this.shown = "";
    $("control-title").hidden = !control;
    $("filter").addEventListener("input", () => this.render());
  }

  async refresh() {
    const index = await askJson("v2/repository/index", { method: "POST", signal: patience() });
    const before = JSON.stringify(this.row(this.name));
    this.index = index;
    show($("models-problem"), this.problem ?? "");
    if (!this.row(this.name)) this.name = (index.find(isReady) ?? index[0])?.name ?? "";
    this.render();
    if (JSON.stringify(this.row(this.name)) !== before) this.chosen(this.row(this.name));
  }

  row(name) {
    return this.index.find((one) => one.name === name && isReady(one)) ?? this.index.find((one) => one.name === name);
  }

  choose(name) {
    this.name = name;
    this.render();
    this.chosen(this.row(name));
  }

  async change(name, what) {
    this.busy.add(name);
    this.problem = "";
    this.render();
    try {
      await ask(`v2/repository/models/${encodeURIComponent(name)}/${what}`, { method: "POST" });
    } catch (error) {
      this.problem = `${name}: ${error.message}`;
    }
    this.busy.delete(name);
    this.shown = "";
    await this.refresh().catch((error) => show($("models-problem"), error.message));
  }

  render() {
    const wanted = $("filter").value.toLowerCase();
    const fitting = this.index.filter((one) => one.name.toLowerCase().includes(wanted));
    const rows = fitting.slice(0, MOST_ROWS);
    const state = JSON.stringify([rows, this.name, [...this.busy], wanted]);
    if (state === this.shown) return; // what has the focus keeps it
    this.shown = state;
    const focused = document.activeElement?.dataset?.key;
    $("model-rows").replaceChildren(...rows.map((one) => this.line(one)));
    if (focused) [...$("model-rows").querySelectorAll("button")].find((one) => one.dataset.key === focused)?.focus();
    $("models-note").textContent = !this.index.length ? "The repository has no models."
      : !rows.length ? "No model has that in its name."
      : rows.length < fitting.length ? `The first ${rows.length} of ${fitting.length}: give more of the name.` : "";
  }

  line(one) {
    const name = element("button", { type: "button", className: "name" }, one.name);
    name.dataset.key = JSON.stringify(["name", one.name, one.version]);
    if (one.name === this.name) name.setAttribute("aria-current", "true");
    name.addEventListener("click", () => this.choose(one.name));
    const state = element("td", { className: "state " + (isReady(one) ? "good" : one.reason ? "bad" : "") }, words(one));
    if (one.reason && one.reason !== "unloaded") state.append(element("span", { className: "reason" }, one.reason));
    const line = element("tr", {}, element("td", {}, name), element("td", { className: "version" }, one.version ?? "–"), state);
    if (this.control) line.append(element("td", { className: "control" }, this.button(one)));
    return line;
  }

  button(one) {
    const what = isReady(one) ? "unload" : "load";
    const button = element("button", { type: "button" }, what === "load" ? "Load" : "Unload");
    button.setAttribute("aria-label", `${button.textContent} ${one.name}`);
    button.dataset.key = JSON.stringify(["control", one.name, one.version]);
    button.disabled = this.busy.has(one.name) || ["LOADING", "UNLOADING"].includes(one.state);
    button.addEventListener("click", () => this.change(one.name, what));
    return button;
  }
}

export function isReady(one) {
  return one.state === "READY";
}

function words(one) {
  return one.state === "READY" ? "ready" : (one.state ?? "not loaded").toLowerCase();
}
