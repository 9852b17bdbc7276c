// The page: asks the server every two seconds while somebody looks, and shows what it tells.

import { UnheardError, ask, askJson, hasToken, modelPath, patience, useToken } from "./api.js";
import { Charts } from "./charts.js";
import { $ } from "./dom.js";
import { ModelTable } from "./models.js";
import { TryOut } from "./try_out.js";

const EVERY_MS = 2000;
const INDEX_EVERY = 3; // a list of many models takes a while to write

const charts = new Charts($("charts"));
const tryOut = new TryOut();
const table = new ModelTable(document.body.dataset.modelControl === "true", (row) => {
  $("model").hidden = !row;
  if (!row) return;
  $("model-title").textContent = row.name;
  charts.clear();
  tryOut.choose(row);
  watch();
});

function health(words, good) {
  if ($("health").textContent !== words) $("health").textContent = words; // read aloud only when it changes
  $("health").className = good ? "good" : "bad";
}

async function server() {
  try {
    const { name, version } = await askJson("v2", { signal: patience() });
    document.title = `${name}: models`;
    $("server").textContent = `${name} ${version}`;
    await ask("v2/health/ready", { signal: patience() }).then(() => health("ready", true), () => health("not ready", false));
  } catch (error) {
    if (error.wantsToken && !hasToken()) $("access-details").open = true;
    health(error.message, false);
  }
}

async function watch() {
  const { name } = table;
  if (!name) return;
  const stats = await askJson(modelPath(name) + "/stats", { signal: patience() }).catch((error) => {
    if (error instanceof UnheardError) health(error.message, false);
  });
  if (stats && name === table.name) charts.add(stats);
}

async function index() {
  try {
    await table.refresh();
  } catch (error) {
    $("models-problem").hidden = false;
    $("models-problem").textContent = error.message;
  }
}

async function everything() {
  await Promise.all([server(), index()]);
}

let turns = 0;
async function turn() {
  try {
    if (document.hidden) return;
    turns += 1;
    await Promise.all([watch(), ...(turns % INDEX_EVERY ? [] : [everything()])]);
  } finally {
    setTimeout(turn, EVERY_MS);
  }
}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken($("token").value.trim());
  everything();
});

await everything();
setTimeout(turn, EVERY_MS);
