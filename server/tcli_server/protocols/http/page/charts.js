// Four small charts of one model, made of the differences between its statistics.

import { element } from "./dom.js";

const SAMPLES = 60;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 80;

const CHARTS = [
  { title: "Rate", unit: "/s", value: (d) => d.inferences / d.seconds },
  { title: "Latency", unit: "ms", value: (d) => mean(d.success.ns, d.success.count) / 1e6 },
  { title: "In queue", unit: "ms", value: (d) => mean(d.queue.ns, d.queue.count) / 1e6 },
  { title: "Batch size", unit: "", value: (d) => mean(d.inferences, d.executions) },
];

function mean(sum, count) {
  return count > 0 ? sum / count : NaN;
}

function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1000) return Math.round(value).toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// All versions of a model together.
function totals(stats) {
  const sum = { at: performance.now(), inferences: 0, executions: 0, success: { ns: 0, count: 0 }, queue: { ns: 0, count: 0 } };
  for (const one of stats.model_stats) {
    sum.inferences += Number(one.inference_count ?? 0);
    sum.executions += Number(one.execution_count ?? 0);
    for (const what of ["success", "queue"]) {
      sum[what].ns += Number(one.inference_stats?.[what]?.ns ?? 0);
      sum[what].count += Number(one.inference_stats?.[what]?.count ?? 0);
    }
  }
  return sum;
}

function difference(now, before) {
  const minus = (what) => ({ ns: now[what].ns - before[what].ns, count: now[what].count - before[what].count });
  return {
    seconds: (now.at - before.at) / 1000,
    inferences: now.inferences - before.inferences,
    executions: now.executions - before.executions,
    success: minus("success"),
    queue: minus("queue"),
  };
}

export class Charts {
  constructor(place) {
    this.figures = CHARTS.map((chart) => new Figure(chart));
    place.replaceChildren(...this.figures.map((figure) => figure.root));
    this.clear();
  }

  clear() {
    this.before = null;
    for (const figure of this.figures) figure.clear();
  }

  add(stats) {
    const now = totals(stats);
    const passed = this.before && difference(now, this.before);
    this.before = now;
    if (!passed || passed.inferences < 0) return; // a model that was loaded anew counts from the beginning
    for (const figure of this.figures) figure.add(figure.chart.value(passed));
  }
}

class Figure {
  constructor(chart) {
    this.chart = chart;
    this.now = element("strong");
    this.top = element("span");
    this.area = document.createElementNS(SVG, "path");
    this.area.setAttribute("class", "area");
    this.line = document.createElementNS(SVG, "path");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.append(this.area, this.line);
    this.root = element("figure", {}, element("figcaption", {}, chart.title, this.now), this.svg,
      element("div", { className: "scale" }, element("span", {}, "2 min"), this.top));
  }

  clear() {
    this.values = [];
    this.draw();
  }

  add(value) {
    this.values = [...this.values, value].slice(-SAMPLES);
    this.draw();
  }

  draw() {
    const known = this.values.filter(Number.isFinite);
    const top = Math.max(...known, 0);
    const unit = this.chart.unit && " " + this.chart.unit;
    const last = short(this.values.at(-1) ?? NaN);
    this.now.textContent = last + (last === "–" ? "" : unit);
    this.top.textContent = known.length ? "highest " + short(top) + unit : "";
    this.svg.setAttribute("aria-label", `${this.chart.title} in the last two minutes: now ${this.now.textContent}, ` +
      (this.top.textContent || "nothing yet"));
    let line = "";
    let area = "";
    for (const run of this.runs()) {
      const points = run.map(([index, value]) => [
        (WIDTH * (index + SAMPLES - this.values.length)) / (SAMPLES - 1),
        HEIGHT - (top ? (value / top) * (HEIGHT - 6) : 0) - 1,
      ].map((place) => place.toFixed(1)).join(" "));
      const first = points[0].split(" ")[0];
      line += "M" + points.join("L") + (points.length === 1 ? "h0.01" : "");
      area += `M${first} ${HEIGHT}L${points.join("L")}L${points.at(-1).split(" ")[0]} ${HEIGHT}Z`;
    }
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }

  // Stretches without a gap, as [index, value].
  runs() {
    const runs = [[]];
    this.values.forEach((value, index) => {
      if (Number.isFinite(value)) runs.at(-1).push([index, value]);
      else if (runs.at(-1).length) runs.push([]);
    });
    return runs.filter((run) => run.length);
  }
}
