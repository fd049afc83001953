// The list of tasks, and the page of one.

import { $, attempt, clock, count, duration, make, pointer, sure } from "./dom.js";
import { call, stream } from "./net.js";

const PAGE = 100, MORE = 500, SHOWN = 20000; // rows a request, characters of a long text
let queue = "", cursor = null, asking = 0, stale = false, further = false;

// -- the list --------------------------------------------------------------------------------

export function setQueue(name) {
  queue = name;
  reload();
}

// Something changed: the first page is read again, at most once a second, unless one has gone on.
export function touched() {
  if (asking || further || document.hidden || pointer.down) {
    stale = true;
    return;
  }
  asking = setTimeout(() => {
    asking = 0;
    if (stale) touched();
  }, 1000);
  stale = false;
  if ($("list").tBodies[0].rows.length <= PAGE) reload();
}

export function reload() {
  clearTimeout(reload.soon);
  return attempt(() => load(null), false);
}

async function load(from) {
  const form = $("filter"), words = new URLSearchParams({ queue, limit: from ? MORE : PAGE });
  if (form.state.value) words.set("state", form.state.value);
  if (form.name.value) words.set("name", form.name.value);
  if (from) words.set("cursor", from);
  const mine = words.toString();
  load.newest = mine;
  const page = await call("GET", `tasks?${mine}`);
  if (load.newest !== mine) return; // another filter was chosen meanwhile
  const body = $("list").tBodies[0], focused = document.activeElement?.dataset?.task;
  const rows = page.tasks.map(row);
  if (from) body.append(...rows);
  else body.replaceChildren(...rows);
  if (focused) body.querySelector(`[data-task="${CSS.escape(focused)}"]`)?.focus();
  cursor = page.cursor;
  $("list").ariaBusy = "false";
  $("more").hidden = !cursor;
  $("failed-all").hidden = form.state.value !== "failed";
  $("list-note").textContent = body.rows.length ? `${count(body.rows.length)} shown` : cursor ? "None so far: go on with More." : "None.";
}

function row(task) {
  const line = make("tr", "", { role: "row" }), open = make("button", task.task_id, { class: "link id", "data-task": task.task_id });
  const cells = [make("td"), make("td", task.name), make("td"), make("td", String(task.attempt), { class: "n" }), make("td", task.worker || ""), make("td", task.run_ms == null ? "" : duration(task.run_ms), { class: "n" }), make("td", clock(task.enqueued_ms))];
  cells[0].append(open);
  cells[2].append(make("span", task.state, { class: "state", "data-s": task.state }));
  for (const cell of cells) cell.setAttribute("role", "cell"); // a row laid out as a grid is none to a screen reader
  line.append(...cells);
  return line;
}

$("list").addEventListener("click", (event) => {
  const id = event.target.dataset?.task;
  if (id) show(id);
});
$("more").addEventListener("click", async () => {
  further = true; // or a first page that is read meanwhile would replace what is asked for
  await attempt(() => load(cursor));
  further = false;
});
$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = $("filter").elements.id.value.trim();
  if (id) show(id);
  else reload();
});
$("filter").addEventListener("input", (event) => {
  if (event.target.name === "id") return;
  $("list").ariaBusy = "true";
  $("more").hidden = true; // it goes on with what is no longer asked for
  load.newest = "";
  clearTimeout(reload.soon);
  reload.soon = setTimeout(reload, 200);
});
document.addEventListener("visibilitychange", () => !document.hidden && stale && touched());

async function all(method, path, verb, done) {
  const name = $("filter").elements.name.value;
  if (!(await sure(`${verb} all failed tasks${name ? ` of ${name}` : ""} in ${queue}?`, verb))) return;
  const found = await call(method, `queues/${queue}/${path}${name ? `?name=${encodeURIComponent(name)}` : ""}`);
  await load(null);
  $("done-note").textContent = `${count(found[done])} ${done}`;
}
$("retry-all").addEventListener("click", () => attempt(() => all("POST", "failed/retry", "Retry", "retried")));
$("purge-all").addEventListener("click", () => attempt(() => all("DELETE", "failed", "Forget", "purged")));

// -- one task --------------------------------------------------------------------------------

let shown = "", unfollow = () => {};

export async function show(id) {
  unfollow();
  shown = id;
  if (!(await attempt(() => fill(id)))) return;
  if (!$("task").open) $("task").showModal();
  $("task-timeline").replaceChildren();
  let soon = 0;
  unfollow = stream(`task/${encodeURIComponent(id)}/events`, (verb, event) => {
    if (verb === "gap") return;
    $("task-timeline").append(line(event, id));
    clearTimeout(soon);
    soon = setTimeout(() => shown === id && fill(id).catch(() => {}), 150);
  });
}

function line(event, id) {
  const mark = event.tasks.find((one) => one.task_id === id);
  const words = [clock(event.at_ms), event.verb, mark?.attempt ? `attempt ${mark.attempt}` : "", event.worker && `on ${event.worker}`, mark?.run_ms != null ? `ran ${duration(mark.run_ms)}` : "", event.state && `now ${event.state}`, event.reason];
  return make("li", words.filter(Boolean).join(" · "));
}

async function fill(id) {
  const path = `task/${encodeURIComponent(id)}`;
  const [task, why, logs, output] = await Promise.all([call("GET", path), call("GET", `${path}/explain`), call("GET", `${path}/logs`), call("GET", `${path}/output`)]);
  if (shown !== id) return false;
  $("task-title").textContent = `${task.name} ${id}`;
  $("task-state").replaceChildren(make("span", task.state, { class: "state", "data-s": task.state }), make("span", ` · queue ${task.queue} · priority ${task.priority} · attempt ${task.attempt} of ${task.max_attempts}`));
  $("task-explain").replaceChildren(...why.sentences.map((sentence) => make("li", sentence)));
  $("task-args").textContent = short(calling(task));
  result(task);
  $("task-retry").hidden = task.state !== "failed";
  $("task-cancel").hidden = !["queued", "scheduled", "deferred", "running"].includes(task.state);
  $("task-output-box").hidden = !output.pieces.length;
  $("task-output").textContent = output.pieces.map((piece) => piece.text).join("");
  $("task-logs-box").hidden = !logs.lines.length;
  $("task-logs").textContent = logs.lines.join("\n");
  $("task-progress").hidden = !logs.progress;
  $("task-progress").value = logs.progress?.fraction || 0;
  $("task-progress-text").textContent = logs.progress ? ` ${logs.progress.text || ""}` : "";
  return true;
}

function calling(task) {
  const named = Object.entries(task.kwargs || {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${task.name}(${[...(task.args || []).map((value) => JSON.stringify(value)), ...named].join(", ")})`;
}

function result(task) {
  const error = task.error, ended = task.state === "succeeded" || error;
  $("task-result-box").hidden = !ended;
  if (!ended) return;
  $("task-result-title").textContent = error ? "Error" : "Result";
  const text = error ? error.traceback || `${error.type || ""}: ${error.message || ""}` : JSON.stringify(task.result, null, 2);
  $("task-result").textContent = short(text);
  $("task-all").hidden = text.length <= SHOWN;
  $("task-all").onclick = () => {
    $("task-result").textContent = text;
    $("task-all").hidden = true;
  };
}

const short = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}… (${count(text.length)} characters)` : text);

$("task").addEventListener("close", () => {
  unfollow();
  shown = "";
  touched();
});
$("task-retry").addEventListener("click", () => attempt(async () => {
  await call("POST", `task/${shown}/retry`);
  await show(shown);
}));
$("task-cancel").addEventListener("click", () => attempt(async () => {
  await call("DELETE", `task/${shown}`);
  await fill(shown);
}));
