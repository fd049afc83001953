// The charts (uPlot) and the swim lanes (a canvas). Seconds are Redis' clock.
/* global uPlot */

const WINDOW_S = 300;
const LANES_MS = 60000;
const BUCKETS_A_DECADE = 8; // as in digest.py

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

// -- what is known, by second ----------------------------------------------------------------

const seconds = new Map(); // second -> {verbs, wait, run}
const depths = new Map(); // second -> [high, normal, low, scheduled, running]
let spans = []; // attempts that ended: {id, attempt, worker, start, end, verb}
let lost = []; // leases that ran out: {worker, at}

export function addDigests(digests) {
  for (const digest of digests) {
    const known = seconds.get(digest.second) || { verbs: {}, wait: {}, run: {} };
    for (const part of ["verbs", "wait", "run"])
      for (const [name, count] of Object.entries(digest[part])) known[part][name] = (known[part][name] || 0) + count;
    seconds.set(digest.second, known);
    for (const [id, attempt, worker, start, run, verb] of digest.spans)
      spans.push({ id, attempt, worker, start, end: start + run, verb, stride: digest.stride });
    for (const note of digest.notes)
      if (note.verb === "reclaim") lost.push({ worker: note.worker, at: note.at_ms, id: note.tasks[0] });
  }
  const newest = Math.max(...seconds.keys());
  for (const second of seconds.keys()) if (second < newest - WINDOW_S) seconds.delete(second);
  spans = spans.filter((span) => span.end > newest * 1000 - LANES_MS).slice(-6000);
  lost = lost.filter((mark) => mark.at > newest * 1000 - LANES_MS);
}

export function addDepths(rows) {
  for (const [second, ...counts] of rows) depths.set(second, counts);
  const newest = Math.max(...depths.keys());
  for (const second of depths.keys()) if (second < newest - WINDOW_S) depths.delete(second);
}

// Ended tasks a second over the last `over` seconds before `now`, and quantiles in ms.
export function summary(now, over) {
  let ended = 0;
  const wait = {}, run = {};
  for (const [second, known] of seconds) {
    if (second > now - 1 - over && second <= now - 1) ended += (known.verbs.complete || 0) + (known.verbs.fail || 0);
    if (second > now - 60) {
      merge(wait, known.wait);
      merge(run, known.run);
    }
  }
  return { rate: ended / over, wait: [quantile(wait, 0.5), quantile(wait, 0.95)], run: [quantile(run, 0.5), quantile(run, 0.95)] };
}

function merge(sum, more) {
  for (const [bucket, count] of Object.entries(more)) sum[bucket] = (sum[bucket] || 0) + count;
}

function quantile(histogram, q) {
  const buckets = Object.keys(histogram).map(Number).sort((a, b) => a - b);
  let left = q * buckets.reduce((sum, bucket) => sum + histogram[bucket], 0);
  for (const bucket of buckets) if ((left -= histogram[bucket]) <= 0) return 0.1 * 10 ** (bucket / BUCKETS_A_DECADE);
  return null;
}

// -- charts ----------------------------------------------------------------------------------

const RATE = [["enqueued", "--amber", [6, 4]], ["succeeded", "--blue", []], ["failed", "--red", [2, 3]], ["taken back", "--violet", [8, 3, 2, 3]]];
const MS = [["wait p50", "--amber", []], ["wait p95", "--amber", [5, 4]], ["run p50", "--blue", []], ["run p95", "--blue", [5, 4]]];
const DEPTH = [["high", "--red", [2, 3]], ["normal", "--blue", []], ["low", "--green", [8, 4]], ["later", "--amber", [5, 3]], ["running", "--violet", [1, 3]]];
const VERBS = ["enqueue", "complete", "fail", "reclaim"];
let plots = [];

function make(id, series, scale) {
  const box = document.getElementById(id);
  box.replaceChildren();
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--soft"), grid, ticks: grid, font: "12px system-ui", size: 44 };
  const many = (plot, values) => values.map((v) => (v === null ? "" : v >= 1e6 ? `${v / 1e6}M` : v >= 1000 ? `${v / 1000}k` : String(v)));
  const options = {
    width: Math.max(240, box.clientWidth), height: 180, cursor: { drag: { x: false, y: false } },
    legend: { live: false, markers: { dash: (plot, i) => (plot.series[i].dash?.length ? "dashed" : "solid") } },
    scales: { x: { time: true }, y: scale },
    series: [{}, ...series.map(([label, name, dash]) => ({ label, stroke: colour(name), dash, width: 1.6, spanGaps: true, points: { show: false } }))],
    axes: [{ ...axis, size: 30, space: 70 }, { ...axis, values: many }],
  };
  const plot = new uPlot(options, [[], ...series.map(() => [])], box);
  plot.ctx.canvas.setAttribute("role", "img");
  plot.ctx.canvas.setAttribute("aria-label", box.previousElementSibling.textContent);
  return plot;
}

export function layOut() {
  plots.forEach((plot) => plot.destroy());
  plots = [
    make("chart-rate", RATE, { range: (plot, low, high) => [0, Math.max(1, high * 1.05)] }),
    make("chart-ms", MS, { distr: 3, range: (plot, low, high) => [0.1, Math.max(10, high || 10)] }),
    make("chart-depth", DEPTH, { range: (plot, low, high) => [0, Math.max(1, high * 1.05)] }),
  ];
}

export function draw(now) {
  if (!plots.length) layOut();
  const first = seconds.size ? Math.min(...seconds.keys()) : now;
  const length = Math.max(60, Math.min(WINDOW_S, now - Math.min(first, ...depths.keys())));
  const xs = Array.from({ length }, (_, i) => now - length + i);
  const at = (second) => seconds.get(second);
  const rate = VERBS.map((verb) => xs.map((x) => (x < first ? null : at(x)?.verbs[verb] || 0)));
  const ms = [["wait", 0.5], ["wait", 0.95], ["run", 0.5], ["run", 0.95]].map(([part, q]) => xs.map((x) => (at(x) ? quantile(at(x)[part], q) : null)));
  const depth = DEPTH.map((_, i) => xs.map((x) => depths.get(x)?.[i] ?? null));
  [rate, ms, depth].forEach((rows, i) => plots[i].setData([xs, ...rows]));
}

let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(layOut, 150);
});
dark.addEventListener("change", layOut);

// -- swim lanes ------------------------------------------------------------------------------

const ROW = 24, LEFT = 92, BOTTOM = 18, MOST = 32;

export function lanes(workers, now_ms, open) {
  const canvas = document.getElementById("lanes");
  const names = [...new Set([...workers.map((worker) => worker.id), ...spans.map((span) => span.worker), ...lost.map((mark) => mark.worker)])].sort().slice(0, MOST);
  const width = canvas.parentElement.clientWidth, height = Math.max(1, names.length) * ROW + BOTTOM, ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "12px system-ui";
  const x = (ms) => LEFT + Math.max(0, ((ms - now_ms + LANES_MS) / LANES_MS) * (width - LEFT - 8));
  axis(pen, x, now_ms, names.length * ROW, width);
  names.forEach((name, row) => {
    const y = row * ROW + 4, h = ROW - 8;
    pen.fillStyle = colour("--ink");
    pen.fillText(name.length > 13 ? `${name.slice(0, 12)}…` : name, 0, y + h - 3, LEFT - 6);
    for (const span of spans) if (span.worker === name) bar(pen, x(span.start), x(span.end), y, h, span.verb === "fail");
    for (const one of open) if (one.worker === name) bar(pen, x(one.since), x(now_ms), y, h, false, true);
    for (const mark of lost) if (mark.worker === name) cross(pen, x(mark.at), y, h);
  });
  canvas.setAttribute("aria-label", `Swim lanes of ${names.length} workers in the last minute: ${spans.length} ended attempts and ${open.length} that run drawn, ${spans.filter((s) => s.verb === "fail").length} failed, ${lost.length} leases ran out`);
  const stride = Math.max(1, ...spans.map((span) => span.stride));
  document.getElementById("lanes-note").textContent = stride > 1 ? `(one in ${stride} is drawn where there are many)` : "";
}

function axis(pen, x, now_ms, bottom, width) {
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--soft");
  for (let ago = 60; ago >= 0; ago -= 10) {
    const at = Math.min(width - 9, x(now_ms - ago * 1000));
    pen.beginPath();
    pen.moveTo(at, 0);
    pen.lineTo(at, bottom);
    pen.stroke();
    pen.textAlign = ago ? "center" : "right";
    pen.fillText(ago ? `-${ago} s` : "now", ago ? at : width - 4, bottom + 14);
  }
  pen.textAlign = "left";
}

function bar(pen, from, to, y, h, failed, open = false) {
  const w = Math.max(1.5, to - from);
  pen.fillStyle = colour(failed ? "--red" : "--blue");
  pen.globalAlpha = open ? 0.45 : 0.85;
  pen.fillRect(from, y, w, h);
  pen.globalAlpha = 1;
  if (!failed) return;
  pen.save();
  pen.beginPath();
  pen.rect(from, y, w, h);
  pen.clip();
  pen.strokeStyle = colour("--card");
  pen.beginPath();
  for (let at = from - h; at < to; at += 5) {
    pen.moveTo(at, y + h);
    pen.lineTo(at + h, y);
  }
  pen.stroke();
  pen.restore();
}

function cross(pen, at, y, h) {
  pen.strokeStyle = colour("--ink");
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(at - 5, y);
  pen.lineTo(at + 5, y + h);
  pen.moveTo(at + 5, y);
  pen.lineTo(at - 5, y + h);
  pen.stroke();
  pen.lineWidth = 1;
}
