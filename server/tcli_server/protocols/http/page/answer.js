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
  if (value && typeof value === "object" && !(value instanceof Exact)) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shortened(one)]));
  return value;
}

// As JSON, arrays of plain values in one line.
function written(value, indent = "") {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const within = indent + " ";
  const isList = Array.isArray(value);
  const parts = isList ? value.map((one) => written(one, within))
    : Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${written(one, within)}`);
  const [open, close] = isList ? "[]" : "{}";
  if (isList && !value.some((one) => one && typeof one === "object" && !(one instanceof Exact))) return `[${parts.join(", ")}]`;
  return `${open}\n${within}${parts.join(",\n" + within)}\n${indent}${close}`;
}

// A number as the server wrote it: one of more digits than this language keeps, or one that JSON has not.
class Exact {
  constructor(text) {
    this.text = text;
  }
}

const NOT_IN_JSON = /"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN/g; // and the texts that may hold such words
const MARK = "\0" + Math.random(); // what no text of an answer begins with

function parsed(text) {
  try {
    return /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text); // a reviver takes its time
  } catch {
    return JSON.parse(text.replace(NOT_IN_JSON, (word) => (word[0] === '"' ? word : JSON.stringify(MARK + word))), exact);
  }
}

function exact(_, value, context) {
  if (typeof value === "string" && value.startsWith(MARK)) return new Exact(value.slice(MARK.length));
  return typeof value === "number" && context?.source && context.source !== String(value) ? new Exact(context.source) : value;
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
    answer = parsed(text);
  } catch {
    // shown as it is
  }
  const tables = (answer?.outputs ?? []).map((output) => [output, classesOf(output)]).filter(([, classes]) => classes);
  $("classes").replaceChildren(...tables.map(([output, classes]) => tableOf(output, classes)));
  const shown = answer ? written(shortened(answer)) : text;
  show($("body"), shown.length > MOST_TEXT ? shown.slice(0, MOST_TEXT) + "…" : shown);
}
