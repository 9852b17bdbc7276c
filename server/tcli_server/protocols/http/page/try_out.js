// Ask the chosen model, with a picture or with JSON.

import { ask, askJson, modelPath } from "./api.js";
import { clearAnswer, showAnswer, showPicture } from "./answer.js";
import { $, element, show } from "./dom.js";
import { pictureInput } from "./picture.js";
import { pictureForm } from "./picture_form.js";
import { jsonPrograms, picturePrograms, showPrograms } from "./programs.js";
import { binaryRequest, exampleRequest } from "./request.js";

const MOST_OF_A_PROGRAM = 100000; // a shell takes no word of 128 KiB, and nobody reads one

export class TryOut {
  constructor() {
    this.model = null;
    this.turn = 0; // answers to what was asked before another model was chosen are dropped
    this.saved = "";
    this.name = "";
    this.example = "";
    this.edited = ""; // what somebody has written for this model: kept while it is loaded anew
    $("json").addEventListener("submit", (event) => {
      event.preventDefault();
      this.sendJson();
    });
    $("request").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.sendJson();
    });
    $("request").addEventListener("input", () => this.showJsonPrograms());
    $("file").addEventListener("change", () => $("file").files[0] && this.sendPicture($("file").files[0]));
    const drop = $("drop");
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      });
    }
    drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && this.sendPicture(event.dataTransfer.files[0]));
    // A file that misses would take the page's place.
    for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  }

  async choose(row) {
    const turn = ++this.turn;
    if (row.name !== this.name) this.edited = "";
    else if (this.model) this.edited = $("request").value === this.example ? "" : $("request").value;
    this.name = row.name;
    this.model = null;
    clearAnswer();
    show($("model-problem"), "");
    $("outcome").textContent = "Nothing was asked yet.";
    $("picture").hidden = true;
    $("file").value = "";
    $("request").value = "";
    $("send").disabled = true;
    $("programs").replaceChildren();
    $("model-about").textContent = "";
    if (row.state !== "READY") {
      $("model-about").textContent = "The model is not ready, so there is nothing to ask.";
      return;
    }
    try {
      const path = modelPath(row.name);
      const [metadata, config] = await Promise.all([askJson(path), askJson(path + "/config")]);
      if (turn === this.turn) this.offer({ path, row, metadata, config, form: pictureForm(metadata, config) });
    } catch (error) {
      if (turn === this.turn) show($("model-problem"), error.message);
    }
  }

  offer(model) {
    this.model = model;
    const { metadata, config, form } = model;
    const tensor = ({ name, datatype, shape }) => `${name} ${datatype} [${shape.join(", ")}]`;
    $("model-about").textContent = `${metadata.platform || config.backend || "model"}: takes ` +
      `${metadata.inputs.map(tensor).join(", ") || "nothing"}, gives ${metadata.outputs.map(tensor).join(", ")}`;
    $("picture").hidden = !form;
    if (form) {
      const bytes = form.kind === "bytes";
      $("drop").firstElementChild.textContent = bytes ? "Drop a file here, or choose one" : "Drop a picture here, or choose one";
      $("file").accept = bytes ? "" : "image/*";
      $("picture-note").textContent = bytes ? "The model gets its bytes as they are."
        : `The model gets ${form.width} × ${form.height} pixels, ${form.channels === 1 ? "grey" : form.bgr ? "BGR" : "RGB"}, as ${form.datatype}.`;
    }
    this.example = exampleRequest(metadata, config);
    $("request").value = this.edited || this.example;
    $("request").placeholder = this.example ? "" : "The model takes more than is written by hand, or a type that JSON has not.";
    $("send").disabled = false;
    this.showJsonPrograms();
  }

  showJsonPrograms() {
    const text = $("request").value.trim();
    let instead = this.model && text ? "" : "Shown as soon as the request is JSON.";
    if (text.length > MOST_OF_A_PROGRAM) instead = "The request is too long to be written into a program.";
    try {
      if (!instead) JSON.parse(text);
    } catch {
      instead = "Shown as soon as the request is JSON.";
    }
    if (instead) $("programs").replaceChildren(element("p", { className: "quiet" }, instead));
    else showPrograms($("programs"), jsonPrograms(this.model.path, this.model.row.name, text));
  }

  async sendJson() {
    if (!this.model) return;
    this.showJsonPrograms();
    showPicture(null);
    await this.send({ body: $("request").value, headers: { "Content-Type": "application/json" } });
  }

  async sendPicture(file) {
    const { model } = this;
    if (!model?.form) return;
    const turn = ++this.turn;
    clearAnswer();
    show($("model-problem"), "");
    $("outcome").textContent = "Reading the picture";
    try {
      const { bytes, box, preview } = await pictureInput(file, model.form);
      if (turn !== this.turn) return;
      const request = binaryRequest(model.form, bytes, model.metadata);
      showPicture(preview);
      showPrograms($("programs"), picturePrograms(model.path, model.row.name, file.name, model.form, box, request), [this.saveLink(request.body)]);
      await this.send(request);
    } catch (error) {
      if (turn !== this.turn) return;
      $("outcome").textContent = "Nothing was sent.";
      show($("model-problem"), error.message);
    }
  }

  saveLink(body) {
    URL.revokeObjectURL(this.saved);
    this.saved = URL.createObjectURL(body);
    return element("p", {}, element("a", { href: this.saved, download: "request.bin" }, "Save the request"), " as request.bin");
  }

  async send({ body, headers }) {
    const turn = ++this.turn;
    show($("model-problem"), "");
    $("classes").replaceChildren();
    show($("body"), "");
    $("outcome").textContent = "Asking";
    const began = performance.now();
    let text = "";
    let problem = "";
    try {
      text = await (await ask(this.model.path + "/infer", { method: "POST", body, headers })).text();
    } catch (error) {
      problem = error.message;
    }
    if (turn !== this.turn) return;
    $("outcome").textContent = `${problem ? "Refused" : "Answered"} after ${(performance.now() - began).toFixed(1)} ms`;
    show($("model-problem"), problem);
    if (!problem) showAnswer(text);
  }
}
