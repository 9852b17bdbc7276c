// What came back: the best classes as a table, everything else as JSON.

import { $, element, show } from "./dom.js";

const MOST_TEXT = 20000;
const MOST_SHOWN = 20;

// [{ score, index, label }] of an output in the form of the classification extension, null of another.
function classesOf(output) {
  if (output.datatype !== "BYTES" || !output.data?.length) return null;
  const found = output.data.map((text) => /^([-+.\deinfa]+):(\d+)(?::([^]*))?$/.exec(text));
  return found.every(Boolean) ? found.map(([, score, index, label]) => ({ score, index, label })) : null;
}

function tableOf(output, classes) {
  const rows = classes.map(({ score, index, label }) => element("tr", {},
    element("td", {}, label ?? "class " + index), element("td", { className: "number" }, index),
    element("td", { className: "number" }, String(Number(Number(score).toPrecision(5))))));
  const head = element("tr", {}, ...["Class", "Index", "Score"].map((title, place) => {
    const cell = element("th", { className: place ? "number" : "" }, title);
    cell.scope = "col";
    return cell;
  }));
  return element("table", {}, element("caption", { className: "quiet" }, output.name), element("thead", {}, head), element("tbody", {}, ...rows));
}

// Long arrays would fill the page: their beginning, and how many there are.
function shortened(value) {
  if (Array.isArray(value)) {
    const shown = value.slice(0, MOST_SHOWN).map(shortened);
    return value.length > MOST_SHOWN ? [...shown, `… ${value.length} in all`] : shown;
  }
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shortened(one)]));
  return value;
}

export function clearAnswer() {
  $("classes").replaceChildren();
  show($("body"), "");
  $("preview").hidden = true;
}

export function showPicture(picture) {
  const canvas = $("preview");
  canvas.hidden = !picture;
  if (!picture) return;
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

export function showAnswer(text) {
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // shown as it is
  }
  const tables = (answer?.outputs ?? []).map((output) => [output, classesOf(output)]).filter(([, classes]) => classes);
  $("classes").replaceChildren(...tables.map(([output, classes]) => tableOf(output, classes)));
  const shown = answer ? JSON.stringify(shortened(answer), null, 1).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, inner) => `[${inner.replace(/\s*\n\s*/g, " ")}]`) : text;
  show($("body"), shown.length > MOST_TEXT ? shown.slice(0, MOST_TEXT) + "…" : shown);
}
