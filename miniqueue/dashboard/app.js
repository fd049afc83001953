// The page: cards, charts, workers, schedules, what happened; tasks are in tasks.js.

import { addDepths, addDigests, draw, lanes, layOut, summary } from "./charts.js";
import { $, alertFor, attempt, clock, count, duration, make, pointer, sure } from "./dom.js";
import { call, setLogin, stream } from "./net.js";
import * as tasks from "./tasks.js";

const LOG = 500; // lines kept of what happened
let queue = new URLSearchParams(location.search).get("queue") || "";
let end = () => {}, state = null, ahead_ms = 0, faults = false, away = false;
const since = new Map(); // "worker task" -> when it was first seen running

setLogin((why) => new Promise((done) => {
  $("login-error").textContent = why;
  if (!$("login").open) $("login").showModal();
  $("login-form").onsubmit = (event) => {
    event.preventDefault();
    $("login").close();
    done($("login-form").token.value);
  };
}));

// Redis' time now, in ms.
const now_ms = () => Date.now() + ahead_ms;

function follow() {
  end();
  layOut();
  end = stream(`live${queue ? `?queue=${encodeURIComponent(queue)}` : ""}`, hear, (on) => {
    $("link").dataset.state = on ? "on" : "off";
    $("link").textContent = on ? "live" : "connection lost, trying again";
  });
}

function hear(kind, data) {
  if (kind === "state") {
    if (data.now_ms) ahead_ms = data.now_ms - Date.now();
    if (data.error || away) alertFor(data.error ? `Redis is away: ${data.error}` : "");
    away = Boolean(data.error); // what a button was refused stays until the next one
    if (!data.error) standing(data);
  } else if (kind === "depths") addDepths(data);
  else if (kind === "digest") {
    addDigests(data);
    for (const digest of data) log(digest);
    tasks.touched();
  }
  paint();
}

// -- how things stand ------------------------------------------------------------------------

function standing(data) {
  state = data;
  const q = data.queue;
  if (!queue) {
    queue = q.name;
    tasks.setQueue(queue);
  }
  const names = data.queues.includes(queue) ? data.queues : [queue, ...data.queues];
  if (names.join() !== [...$("queue").options].map((option) => option.value).join()) $("queue").replaceChildren(...names.map((name) => make("option", name)));
  $("queue").value = queue;
  const waiting = q.ready.high + q.ready.normal + q.ready.low;
  const mine = data.workers.filter((worker) => worker.queue === queue);
  const alive = mine.filter((worker) => worker.alive);
  $("n-waiting").textContent = count(waiting);
  $("n-priorities").textContent = waiting ? `${count(q.ready.high)} high, ${count(q.ready.normal)} normal, ${count(q.ready.low)} low` : "";
  $("n-running").textContent = count(q.running);
  $("n-slots").textContent = `${count(alive.reduce((sum, worker) => sum + worker.concurrency, 0))} slots, ${count(alive.length)} workers`;
  $("n-later").textContent = count(q.scheduled + q.deferred);
  $("n-later-why").textContent = `${count(q.scheduled)} scheduled, ${count(q.deferred)} deferred`;
  $("n-failed").textContent = count(q.failed);
  $("n-failed").parentElement.classList.toggle("some", q.failed > 0);
  $("n-finished").textContent = count(q.finished);
  $("pause").hidden = false;
  $("pause").textContent = q.paused ? "Resume" : "Pause";
  $("pause").dataset.paused = q.paused;
  addDepths([[Math.floor(now_ms() / 1000), q.ready.high, q.ready.normal, q.ready.low, q.scheduled + q.deferred, q.running]]);
  workers(mine);
}

function workers(list) {
  const running = new Set();
  const rows = [...list].sort((a, b) => a.id.localeCompare(b.id)).map((worker) => {
    const line = make("tr", "", worker.alive ? {} : { class: "late" });
    const doing = make("td");
    for (const id of worker.doing.slice(0, 4)) {
      if (worker.alive) running.add(`${worker.id} ${id}`);
      doing.append(make("button", id, { class: "link id", "data-show": id }), " ");
    }
    if (worker.doing.length > 4) doing.append(`and ${worker.doing.length - 4} more`);
    line.append(make("td", worker.id), doing, make("td", count(worker.done), { class: "n" }), make("td", `${worker.beat_age_s.toFixed(1)} s ago`, { class: "n" }), make("td", `${worker.host}, pid ${worker.pid}`));
    if (faults) line.append(buttons(worker.id));
    return line;
  });
  for (const key of running) if (!since.has(key)) since.set(key, now_ms());
  for (const key of since.keys()) if (!running.has(key)) since.delete(key);
  if (pointer.down) return;
  const focused = document.activeElement?.dataset, body = $("workers").tBodies[0];
  body.replaceChildren(...rows);
  if (focused?.fault) body.querySelector(`[data-fault="${focused.fault}"][data-worker="${CSS.escape(focused.worker)}"]`)?.focus();
  if (!rows.length) body.append(make("tr", ""));
  if (!rows.length) body.rows[0].append(make("td", "No worker serves this queue: start one with miniqueue worker.", { colspan: 6 }));
}

function buttons(name) {
  const cell = make("td");
  for (const fault of ["kill", "freeze", "thaw"]) cell.append(make("button", fault, { "data-fault": fault, "data-worker": name, "aria-label": `${fault} ${name}` }), " ");
  return cell;
}

$("workers").addEventListener("click", (event) => {
  const { show, fault, worker } = event.target.dataset;
  if (show) tasks.show(show);
  if (fault) attempt(() => call("POST", `classroom/${fault}`, { worker }));
});
$("redis-pause").addEventListener("click", () => attempt(() => call("POST", "classroom/pause-redis", {})));

// -- pictures --------------------------------------------------------------------------------

let painting = false;
function paint() {
  if (painting || document.hidden) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    const now = Math.floor(now_ms() / 1000);
    draw(now);
    const numbers = summary(now, 5);
    $("n-rate").textContent = numbers.rate >= 10 ? count(Math.round(numbers.rate)) : numbers.rate.toFixed(1);
    $("n-wait").textContent = duration(numbers.wait[0]);
    $("n-wait95").textContent = `p95 ${duration(numbers.wait[1])}, last minute`;
    $("n-run").textContent = duration(numbers.run[0]);
    $("n-run95").textContent = `p95 ${duration(numbers.run[1])}, last minute`;
    const open = [...since].map(([key, at]) => ({ worker: key.split(" ")[0], since: at }));
    lanes(state ? state.workers.filter((worker) => worker.queue === queue) : [], now_ms(), open);
  });
}
setInterval(paint, 1000);

// -- what happened ---------------------------------------------------------------------------

const seen = new Set();
function log(digest) {
  for (const note of digest.notes) {
    if (seen.has(note.id)) continue;
    seen.add(note.id);
    const line = make("li", `${clock(note.at_ms)} ${note.verb} `);
    for (const id of note.tasks) line.append(make("button", id, { class: "link id", "data-show": id }), " ");
    const rest = [note.more && `and ${note.more} more`, note.worker && `on ${note.worker}`, note.state && `now ${note.state}`, note.reason];
    line.append(rest.filter(Boolean).join(" · "));
    $("log").prepend(line);
  }
  if (digest.unsaid) $("log").prepend(make("li", `… and ${count(digest.unsaid)} more in that second`));
  while ($("log").children.length > LOG) $("log").lastElementChild.remove();
  if (seen.size > 20 * LOG) seen.clear();
}
$("log").addEventListener("click", (event) => event.target.dataset.show && tasks.show(event.target.dataset.show));

// -- doing -----------------------------------------------------------------------------------

$("queue").addEventListener("change", () => {
  const url = new URL(location);
  url.searchParams.set("queue", $("queue").value);
  location = url; // a page of its own: nothing of the other queue is left
});
$("pause").addEventListener("click", () => attempt(async () => {
  const paused = $("pause").dataset.paused === "true";
  if (!paused && !(await sure(`Pause ${queue}? Workers claim nothing more until it is resumed.`, "Pause"))) return;
  await call("POST", `queues/${queue}/${paused ? "resume" : "pause"}`);
}));

let functions = [];
$("open-submit").addEventListener("click", () => {
  $("submit-error").textContent = "";
  $("submit").showModal();
});
$("submit-form").addEventListener("input", usage);
function usage() {
  const known = functions.find((one) => one.name === $("submit-form").elements.name.value);
  $("usage").firstChild.textContent = known ? `${known.usage}  ${known.doc || ""}` : "";
}
$("submit-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  try {
    const task = { name: form.name.value, args: JSON.parse(form.args.value || "[]"), queue, priority: form.priority.value };
    if (Number(form.delay_s.value)) task.delay_s = Number(form.delay_s.value);
    const many = Number(form.count.value) || 1;
    const found = await call("POST", "tasks", { tasks: Array(many).fill(task) });
    $("submit").close();
    tasks.reload();
    if (many === 1) tasks.show(found.task_ids[0]);
  } catch (error) {
    $("submit-error").textContent = error instanceof SyntaxError ? `The arguments are not JSON: ${error.message}` : error.message;
  }
});

async function learn() {
  const found = await call("GET", "functions");
  functions = found.functions;
  $("functions").replaceChildren(...functions.map((one) => make("option", one.usage, { value: one.name })));
  usage();
}

async function schedules() {
  if (!queue || document.hidden) return;
  const found = await call("GET", `queues/${queue}/cron`).catch(() => ({ schedules: [] }));
  $("cron").hidden = !found.schedules.length;
  $("cron-none").hidden = found.schedules.length > 0;
  $("cron").tBodies[0].replaceChildren(...found.schedules.map((one) => {
    const line = make("tr");
    const task = `${one.task.name}(${(one.task.args || []).map((value) => JSON.stringify(value)).join(", ")})`;
    line.append(make("td", one.name), make("td", `${one.cron} ${one.timezone}`), make("td", task), make("td", clock(one.next_ms)));
    return line;
  }));
}

async function start() {
  faults = await call("GET", "classroom").then(() => true, () => false);
  for (const element of document.querySelectorAll(".faults")) element.hidden = !faults;
  if (queue) tasks.setQueue(queue);
  follow();
  await attempt(learn);
  setInterval(schedules, 30000);
  setTimeout(schedules, 1000);
}
start();
