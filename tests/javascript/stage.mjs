// What the tests play on: a server that does as it is told, a clock that waits for the test, and a page without a browser.

import assert from "node:assert/strict";
import http from "node:http";
import { afterEach, beforeEach } from "node:test";

const PATIENCE = 10_000;
const real = { clearTimeout, now: () => Date.now(), random: Math.random, setImmediate, setTimeout, warn: console.warn };

/** Time passes only where a test says so; only what the client does with timers is concerned. */
export class Clock {
  now = 1_000_000;
  #timers = new Map();
  #last = 0;

  constructor() {
    globalThis.setTimeout = (done, delay = 0, ...rest) => this.#set(() => done(...rest), delay);
    globalThis.clearTimeout = (timer) => this.#timers.delete(timer?.id);
    performance.now = () => this.now;
    // In the middle, so that a pause is three quarters of what it may be at most.
    Math.random = () => 0.5;
  }

  #set(done, delay) {
    const id = (this.#last += 1);
    this.#timers.set(id, { at: this.now + delay, done });
    return { id, ref() {}, unref() {}, refresh() {}, hasRef: () => true };
  }

  /** Let milliseconds pass, and whatever was to happen in them. */
  async pass(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      await settle();
      const due = [...this.#timers]
        .filter(([, { at }]) => at <= end)
        .sort(([, one], [, other]) => one.at - other.at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].done();
    }
    this.now = end;
    await settle();
  }

  stop() {
    Object.assign(globalThis, { clearTimeout: real.clearTimeout, setTimeout: real.setTimeout });
    delete performance.now;
    Math.random = real.random;
  }
}

/** Let everything happen that needs no time. */
export async function settle() {
  for (let round = 0; round < 20; round += 1) await new Promise((done) => real.setImmediate(done));
}

/** Wait until something is so. */
export async function until(condition, what = String(condition)) {
  const deadline = real.now() + PATIENCE;
  while (!condition()) {
    assert.ok(real.now() < deadline, `It never came to this: ${what}`);
    await new Promise((done) => real.setTimeout(done, 1));
  }
}

/** A request that waits for what the test makes of it. */
class Exchange {
  constructor(request, response) {
    this.headers = request.headers;
    this.url = new URL(request.url, "http://localhost");
    this.response = response;
    this.isOver = false;
    response.on("close", () => (this.isOver = true));
  }

  get wantsStream() {
    return this.headers.accept.startsWith("text/event-stream");
  }

  get since() {
    return this.url.searchParams.get("since");
  }

  get feeds() {
    return this.url.searchParams.getAll("feed");
  }

  /** Begin a stream; `write` goes on. */
  stream(text = ":\nretry: 2000\n\n", headers = {}) {
    this.response.writeHead(200, { "Content-Type": "text/event-stream", ...headers });
    this.response.flushHeaders();
    if (text) this.write(text);
    return this;
  }

  write(text) {
    this.response.write(text);
    return this;
  }

  /** Answer with a document. */
  json(
    document,
    { status = 200, type = status === 200 ? "application/json" : "application/problem+json", ...headers } = {},
  ) {
    this.response.writeHead(status, { "Content-Type": type, ...headers });
    this.response.end(JSON.stringify(document));
  }

  problem(status, members = {}, headers = {}) {
    this.json({ status, title: `Problem ${status}`, ...members }, { status, ...headers });
  }

  end() {
    this.response.end();
  }

  /** Cut the connection. */
  cut() {
    this.response.destroy();
  }
}

/** Serves nothing by itself: `next` gives the test a request to answer. */
export class Server {
  #waiting = [];
  #http = http.createServer((request, response) => this.#waiting.push(new Exchange(request, response)));

  async start() {
    await new Promise((done) => this.#http.listen(this.port ?? 0, "127.0.0.1", done));
    this.port = this.#http.address().port;
    return this;
  }

  stop() {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  url(path) {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** How many requests nobody has taken up. */
  get waiting() {
    return this.#waiting.length;
  }

  async next() {
    await until(() => this.#waiting.length, "another request");
    return this.#waiting.shift();
  }
}

/** As much of a browser's page as the client looks at. */
export class Page {
  #window = new EventTarget();

  constructor() {
    const { document, window } = { document: new EventTarget(), window: this.#window };
    this.document = Object.assign(document, { visibilityState: "visible", baseURI: "http://localhost/page/" });
    globalThis.document = document;
    globalThis.addEventListener = window.addEventListener.bind(window);
    globalThis.removeEventListener = window.removeEventListener.bind(window);
  }

  show() {
    this.#turn("visible");
  }

  hide() {
    this.#turn("hidden");
  }

  happens(name) {
    this.#window.dispatchEvent(new Event(name));
  }

  #turn(state) {
    this.document.visibilityState = state;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  close() {
    delete globalThis.document;
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
}

/** Set the stage anew for each test of a file; what is thrown somewhere, and not expected there, fails the test. */
export function stage() {
  const on = { errors: [], warnings: [], open: [] };
  beforeEach(async () => {
    on.clock = new Clock();
    on.page = new Page();
    on.server = await new Server().start();
    on.errors = [];
    on.warnings = [];
    globalThis.reportError = (error) => on.errors.push(error);
    console.warn = (error) => on.warnings.push(error);
  });
  afterEach(() => {
    for (const one of on.open.splice(0)) one.close();
    on.server.stop();
    on.page.close();
    on.clock.stop();
    delete globalThis.reportError;
    console.warn = real.warn;
    assert.deepEqual(on.errors, []);
  });
  return on;
}

/** A diff as the endpoint writes it. */
export function diff(number, data = { votes: number }, more = {}) {
  const id = String(number).padStart(22, "0");
  return { id, action: "update", model: "polls.question", pk: 1, timestamp: number, version: number, data, ...more };
}

/** A diff as an event of a stream. */
export function event(cursor, document) {
  return `id: ${cursor}\ndata: ${JSON.stringify(document)}\n\n`;
}

/** An event of another kind. */
export function named(name, cursor, document) {
  return `event: ${name}\n${event(cursor, document)}`;
}

/** A page of a poll. */
export function page(cursor, diffs = [], more = false) {
  return { cursor, more, diffs };
}
