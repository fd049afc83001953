// Talking to the API: requests with the token, and streams that come back by themselves.
// All paths are relative, so the page works behind a proxy's prefix.

let token = sessionStorage.getItem("miniqueue-token") || "";
let ask = null; // resolves when somebody has typed a token

export function setLogin(open) {
  ask = open;
}

async function send(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { ...options, headers, cache: "no-store" });
  const refused = reply.status === 401 || (reply.status === 403 && (await title(reply)) === "Wrong token");
  if (!refused || !ask) return reply;
  token = await ask(token ? "this token is not known here" : "");
  sessionStorage.setItem("miniqueue-token", token);
  return send(path, options);
}

async function title(reply) {
  return (await reply.clone().json().catch(() => ({}))).title;
}

// JSON of a route; an Error with the problem's detail where it refuses.
export async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const reply = await send(path, options);
  const found = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(found.detail || `${reply.status} ${reply.statusText}`);
  return found;
}

// Server-sent events over fetch: an EventSource can't carry the token in a header.
// tell(event, data, id) for each message, link(true | false) as the connection comes and goes.
// Comes back after a second with the id of its last event. Gives a function that ends it.
export function stream(path, tell, link = () => {}) {
  const ending = new AbortController();
  let last = "";
  (async () => {
    while (!ending.signal.aborted) {
      try {
        const headers = { Accept: "text/event-stream" }; // else jupyter-server-proxy waits for the end
        if (last) headers["Last-Event-ID"] = last;
        const reply = await send(path, { headers, signal: ending.signal });
        if (reply.status === 204) return;
        if (!reply.ok) throw new Error(reply.statusText);
        link(true);
        await read(reply.body, (event, data, id) => {
          if (id) last = id;
          if (data) tell(event, JSON.parse(data), id);
        });
      } catch (error) {
        if (ending.signal.aborted) return;
      }
      link(false);
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  })();
  return () => ending.abort();
}

async function read(body, tell) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const messages = text.split(/\r?\n\r?\n/);
    text = messages.pop();
    for (const message of messages) {
      const fields = { event: "message", data: "", id: "" };
      for (const line of message.split(/\r?\n/)) {
        const [, name, rest] = /^([a-z]+): ?(.*)$/.exec(line) || [];
        if (name in fields) fields[name] = name === "data" && fields.data ? `${fields.data}\n${rest}` : rest;
      }
      tell(fields.event, fields.data, fields.id);
    }
  }
}
