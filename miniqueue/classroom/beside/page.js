// Asks once a second for the newest stack and holds its dashboard; without one, the page's own words.

const words = document.querySelector("main");
let shown = null;

function dashboard(port) {
  const frame = document.createElement("iframe");
  frame.title = "dashboard";
  frame.src = `../proxy/${port}/`;
  return frame;
}

async function look() {
  const { port } = await (await fetch("newest", { cache: "no-store" })).json();
  if (port === shown) return;
  shown = port;
  document.body.replaceChildren(port ? dashboard(port) : words);
}

for (;;) {
  if (!document.hidden) await look().catch(() => {}); // JupyterLab is away: what was shown stays
  await new Promise((wake) => setTimeout(wake, 1000));
}
