// Small things about the document. What comes from tasks is only ever set as text.

export const $ = (id) => document.getElementById(id);

export function make(name, text = "", attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export const count = (n) => Number(n).toLocaleString("en");

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`;
}

export const clock = (ms) => (ms ? new Date(ms).toLocaleTimeString() : "");

// Asks in a dialog; true for yes.
export function sure(question, yes) {
  const dialog = $("sure");
  $("sure-title").textContent = question;
  $("sure-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

export function alertFor(text) {
  $("alert").textContent = text;
  $("alert").hidden = !text;
}

// While a button is held down nothing is drawn anew, or the click would miss it.
export const pointer = { down: false };
addEventListener("pointerdown", () => (pointer.down = true), true);
for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => setTimeout(() => (pointer.down = false)), true);

// Carries out what a button asks for, and says in the page why not. What nobody asked for leaves
// the words of the last refusal where they are.
export async function attempt(what, asked = true) {
  try {
    if (asked) alertFor("");
    return await what();
  } catch (error) {
    alertFor(error.message);
    return undefined;
  }
}
