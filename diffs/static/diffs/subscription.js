// Follows a feed, or several: connects, falls back to lesser ways, and recovers.

import { EventParser } from "./events.js";
import { withDefaults } from "./options.js";
import { AnswerError, Source, authorization, failure, mediaType } from "./requests.js";
import { Teller, call, reportUncaught } from "./telling.js";
import { Audience, Watchdog, backOff, sleep } from "./waiting.js";

/** @typedef {import ("django-diffs").Diff} Diff */
/** @typedef {import ("django-diffs").Mode} Mode */
/** @typedef {import ("django-diffs").Problem} Problem */
/** @typedef {import ("django-diffs").Reset} Reset */
/** @typedef {import ("django-diffs").Status} Status */
/** @typedef {import ("django-diffs").StatusReport} StatusReport */
/** @typedef {import ("django-diffs").SubscribeOptions} SubscribeOptions */
/** @typedef {import ("django-diffs").Token} Token */

/** @type {Mode[]} */
const MODES = ["stream", "long-poll", "poll"];
const STREAM = "text/event-stream";
const JSON_TYPE = "application/json";

const DEFAULTS = { wait: 25_000, pollEvery: 5_000, heartbeat: 15_000, pauseAfter: 10_000, longestPause: 30_000 };
const FIRST_PAUSE = 1_000;
/** How long an answer may take to begin, and a stream to show its first bytes: a proxy that collects them doesn't. */
const ANSWER_TIME = 20_000;
const OPENING_TIME = 5_000;
/** How many heartbeats may take until a stream is given up. */
const HEARTBEATS = 2.5;
/** How often in a row a way may fail that is open to begin with, and when a better one is tried again. */
const STRIKES = 3;
const BETTER_AFTER = 300_000;
/** How much is held back while a reset is being settled, until the stream isn't read any more. */
const MOST_HELD = 10_000;

/** Why a connection was given up that nothing is wrong with. */
const INTERRUPTED = new Error("Interrupted.");

/** The way that was taken doesn't do, though the server may be well. */
class WayError extends Error {
  /** @param {string} message @param {boolean} [isHopeless] Whether another try would be in vain. */
  constructor(message, isHopeless = false) {
    super(message);
    this.name = "WayError";
    this.isHopeless = isHopeless;
  }
}

/** What `subscribe` returns. */
export class Subscription {
  #source;
  #options;
  #report;
  #teller;
  /** @type {string[] | null} From where to ask; null until the function `since` has told. */
  #asked = null;
  /** @type {Token | null | undefined} */
  #token;
  #hasNewToken = false;
  /** @type {StatusReport} */
  #last = { status: "connecting", mode: null };
  /** @type {Mode | null} */
  #mode = null;
  #isConnected = false;
  #way;
  #changedWay = 0;
  #strikes = 0;
  #hasStreamed = false;
  #failures = 0;
  #firstPause = FIRST_PAUSE;
  #end = new AbortController();
  #turn = new AbortController();
  #audience;
  #online = () => this.#isConnected && this.#turn.abort(INTERRUPTED);
  #close = () => this.close();

  /**
   * @param {string | URL | HTMLElement} source See `subscribe`.
   * @param {SubscribeOptions} options See `subscribe`.
   * @param {(error: unknown) => void} [report] Tells whoever develops the page what a callback has thrown.
   */
  constructor(source, options, report = reportUncaught) {
    this.#source = new Source(source);
    this.#options = withDefaults({ ...DEFAULTS, token: this.#source.token }, options);
    this.#report = report;
    this.#way = bestWay(options);
    const { onDiff, onReset, since, signal } = options;
    if (typeof since !== "function") this.#asked = since == null ? this.#source.cursors : this.#source.split(since);
    const failed = this.#resetFailed.bind(this);
    const settled = () => this.#isConnected && this.#say("live");
    const listener = { onDiff, onReset, report, failed, settled };
    this.#teller = new Teller(listener, this.#asked ?? this.#source.cursors, this.#end.signal);
    this.#audience = new Audience(this.#options.pauseAfter, () => this.#turn.abort(INTERRUPTED));
    globalThis.addEventListener?.("online", this.#online);
    signal?.addEventListener("abort", this.#close);
    // Not before whoever called has got hold of what is returned.
    queueMicrotask(() => (signal?.aborted ? this.close() : this.#run()));
  }

  get cursor() {
    return this.#teller.cursors.join();
  }

  get cursors() {
    return Object.fromEntries(this.#source.names.map((name, place) => [name, this.#teller.cursors[place]]));
  }

  get status() {
    return this.#last.status;
  }

  get mode() {
    return this.#mode;
  }

  close() {
    this.#finish("closed");
  }

  async #run() {
    while (!this.#end.signal.aborted) {
      this.#turn = new AbortController();
      try {
        if (this.#audience.away) await this.#pause(this.#audience.away);
        // What is asked for meanwhile would only be held back.
        else if (this.#teller.settling) await this.#teller.settling;
        else await this.#askAndRest(this.#turn);
      } catch (error) {
        this.#isConnected = false;
        const reason = this.#turn.signal.aborted ? this.#turn.signal.reason : error;
        if (reason !== INTERRUPTED) await this.#recover(reason);
      }
    }
  }

  /** @param {Promise<void>} away */
  async #pause(away) {
    this.#isConnected = false;
    this.#say("paused");
    await away;
    this.#say("connecting");
  }

  /** @param {AbortController} turn */
  async #askAndRest(turn) {
    const pause = await this.#ask(turn);
    if (pause) await sleep(pause, { signal: turn.signal });
  }

  /**
   * Ask once, and tell what comes.
   *
   * @param {AbortController} turn Gives it up.
   * @returns {Promise<number>} How long to wait before asking again, in milliseconds.
   */
  async #ask(turn) {
    const { since, token } = this.#options;
    if (!this.#asked) {
      this.#asked = this.#source.split(await this.#consult(/** @type {Function} */ (since)));
      this.#teller.cursors = this.#asked;
    }
    this.#token = typeof token === "function" ? (this.#token ?? (await this.#consult(token))) : token;
    if (turn.signal.aborted) throw INTERRUPTED;
    if (performance.now() - this.#changedWay > BETTER_AFTER) this.#way = bestWay(this.#options);
    const way = this.#way;
    // The first answer says that all is well, and which moment "now" is: it is not to be waited for.
    const wait = way === "long-poll" && this.#isConnected ? this.#options.wait : 0;
    const watchdog = new Watchdog(() => {
      // Where no stream ever came, a proxy may be holding it back, head and all.
      if (way === "stream" && !this.#hasStreamed) this.#strikes = STRIKES;
      turn.abort(new WayError("The endpoint doesn't answer."));
    });
    watchdog.expect(ANSWER_TIME + wait);
    try {
      const began = performance.now();
      const response = await this.#fetch(way, wait, turn.signal);
      const isStream = response.status === 200 && mediaType(response) === STREAM;
      if (isStream && way === "stream") return await this.#readStream(response, turn, watchdog);
      return await this.#readAnswer(response, way, wait, began);
    } finally {
      watchdog.stop();
    }
  }

  /** @param {Function} callback A function of the page that is to give something, some day. */
  async #consult(callback) {
    try {
      return await callback();
    } catch (error) {
      this.#report(error);
      throw error;
    }
  }

  /** @param {Mode} way @param {number} wait @param {AbortSignal} signal */
  #fetch(way, wait, signal) {
    const { credentials, fetch = globalThis.fetch } = this.#options;
    const asked = /** @type {string[]} */ (this.#asked);
    const headers = {
      Accept: way === "stream" ? `${STREAM}, ${JSON_TYPE};q=0.9` : JSON_TYPE,
      ...(wait ? { Prefer: `wait=${Math.round(wait / 1000)}` } : {}),
      ...authorization(this.#token),
    };
    return fetch.call(globalThis, this.#source.address(asked), { cache: "no-store", credentials, headers, signal });
  }

  /** @param {Response} response @param {AbortController} turn @param {Watchdog} watchdog */
  async #readStream(response, turn, watchdog) {
    if (!response.body) throw new WayError("This browser gives no streams.", true);
    const reader = response.body.getReader();
    const parser = new EventParser();
    const patience = HEARTBEATS * this.#options.heartbeat;
    const began = performance.now();
    let isTold = false;
    const opening = new Watchdog(() => turn.abort(new WayError("Something holds the stream back.", true)));
    opening.expect(OPENING_TIME);
    try {
      for (;;) {
        const { done, value } = await reader.read().catch(brokenOff);
        opening.stop();
        if (done) throw new WayError("The stream has ended.");
        let isEnd = false;
        for (const block of parser.push(value)) {
          isEnd ||= this.#readBlock(block);
          isTold ||= block.id !== null && !isEnd;
        }
        if (isTold) {
          this.#hasStreamed = true;
          this.#live("stream");
        }
        else if (isEnd) throw new WayError("The stream ended before it began.");
        if (isEnd) return 0;
        if (performance.now() - began > patience) this.#strikes = 0;
        if (this.#teller.held > MOST_HELD) {
          watchdog.stop();
          await this.#teller.settling;
        }
        watchdog.expect(patience);
      }
    } finally {
      opening.stop();
      reader.cancel().catch(() => {});
    }
  }

  /** @param {import("./events.js").Block} block @returns {boolean} Whether the server ends the stream with it. */
  #readBlock({ event, data, id, retry }) {
    if (retry !== null) this.#firstPause = Math.min(Math.max(retry, 100), this.#options.longestPause);
    if (id === null) return event === "resume";
    const cursors = this.#source.split(id);
    const content = data === null ? null : JSON.parse(data);
    if (event === "message" && data !== null) this.#teller.take({ diff: checked(content), cursors });
    else if (event === "reset") this.#teller.take({ reset: resetOf(content), cursors });
    else this.#teller.take({ cursors });
    // Not before: what can't be read is asked for again, and never passed over.
    this.#asked = cursors;
    return event === "resume";
  }

  /** @param {Response} response @param {Mode} way @param {number} wait @param {number} began */
  async #readAnswer(response, way, wait, began) {
    const pages = await this.#pagesOf(response);
    const hasIgnored = wait > 0 && response.ok && !response.headers.has("Preference-Applied");
    if (way === "stream" || hasIgnored) this.#stepDown();
    const { isMore, isNews } = this.#readPages(pages);
    if (wait && !hasIgnored) this.#strikes = 0;
    this.#live(way === "long-poll" && !hasIgnored ? "long-poll" : "poll");
    if (isMore) return 0;
    if (this.#way === "poll") return this.#options.pollEvery * (0.9 + Math.random() / 5);
    // An answer without diffs that comes at once has not waited, whatever it says.
    return wait && !isNews && performance.now() - began < FIRST_PAUSE ? FIRST_PAUSE : 0;
  }

  /** @param {Response} response @returns {Promise<any[]>} A page of each feed. */
  async #pagesOf(response) {
    const isSeveral = this.#source.names.length > 0;
    if (response.status === 200 && mediaType(response) === JSON_TYPE) {
      const document = await response.json();
      return isSeveral ? document.feeds : [document];
    }
    const error = await failure(response);
    if (isSeveral || error.status !== 410 || !error.problem?.cursor) throw error;
    return [{ error: error.problem }];
  }

  /** @param {any[]} pages One of each feed. */
  #readPages(pages) {
    const before = /** @type {string[]} */ (this.#asked);
    const cursors = pages.map((page) => (page.error ?? page).cursor);
    if (cursors.length !== before.length || cursors.some((cursor) => typeof cursor !== "string")) {
      throw new TypeError("The endpoint's answer is no page of diffs.");
    }
    const found = pages.flatMap(({ feed, diffs = [] }) =>
      diffs.map((/** @type {unknown} */ diff) => checked(diff, feed)),
    );
    // An object that was moved is in two feeds, and each feed begins anew.
    found.sort((one, other) => one.timestamp - other.timestamp);
    for (const diff of found) this.#teller.take({ diff, cursors: before });
    this.#asked = cursors;
    this.#teller.take({ cursors: pages.map((page, place) => (page.error ? before[place] : page.cursor)) });
    const refused = pages.filter((page) => page.error);
    for (const { error, feed } of refused) this.#teller.take({ reset: resetOf({ feed, ...error }), cursors });
    return { isMore: pages.some((page) => page.more), isNews: found.length > 0 };
  }

  /** @param {unknown} error */
  async #recover(error) {
    let atLeast = 0;
    if (error instanceof AnswerError) {
      if (error.status === 401 && typeof this.#options.token === "function" && !this.#hasNewToken) {
        this.#token = undefined;
        this.#hasNewToken = true;
        return;
      }
      if (error.isFinal) return this.#finish("refused", error);
      atLeast = error.retryAfter * (1 + Math.random() / 2);
    }
    if (error instanceof WayError || (error instanceof AnswerError && error.status === 504)) {
      const isHopeless = error instanceof WayError && error.isHopeless;
      this.#strikes += 1;
      if (isHopeless || this.#strikes >= STRIKES) this.#stepDown();
      if (isHopeless) return;
    }
    this.#failures += 1;
    const retryIn = Math.max(atLeast, backOff(this.#failures, this.#firstPause, this.#options.longestPause));
    this.#say("retrying", { error, retryIn });
    this.#turn = new AbortController();
    await sleep(retryIn, { atLeast, signal: this.#turn.signal });
  }

  /** @param {unknown} error @param {number} failures */
  #resetFailed(error, failures) {
    const retryIn = backOff(failures, this.#firstPause, this.#options.longestPause);
    if (error instanceof AnswerError && error.isFinal) this.#finish("refused", error);
    else this.#say("retrying", { error, retryIn });
    return retryIn;
  }

  #stepDown() {
    this.#way = MODES[Math.min(MODES.indexOf(this.#way) + 1, MODES.length - 1)];
    this.#changedWay = performance.now();
    this.#strikes = 0;
  }

  /** @param {Mode} mode What works. */
  #live(mode) {
    this.#mode = mode;
    this.#isConnected = true;
    this.#hasNewToken = false;
    this.#failures = 0;
    if (!this.#teller.settling) this.#say("live");
  }

  /** @param {Status} status @param {{error?: unknown, retryIn?: number}} [more] */
  #say(status, more = {}) {
    const { status: lastStatus, mode, error } = this.#last;
    if (this.#end.signal.aborted) return;
    if (status === lastStatus && mode === this.#mode && error === more.error) return;
    this.#last = { status, mode: this.#mode, ...more };
    call(this.#options.onStatus, this.#last, this.#report);
  }

  /** @param {"refused" | "closed"} status @param {Error} [error] */
  #finish(status, error) {
    if (this.#end.signal.aborted) return;
    this.#say(status, error ? { error } : {});
    this.#end.abort();
    this.#turn.abort(INTERRUPTED);
    this.#audience.stop();
    globalThis.removeEventListener?.("online", this.#online);
    this.#options.signal?.removeEventListener("abort", this.#close);
  }
}

/** @param {SubscribeOptions} options @returns {Mode} */
function bestWay({ mode = MODES[0] }) {
  if (!MODES.includes(mode)) throw new TypeError(`There is no mode ${JSON.stringify(mode)}.`);
  return mode;
}

/**
 * @param {any} diff What the endpoint gave.
 * @param {string} [feed] Which of several feeds it was in, where it doesn't say so itself.
 * @returns {Diff}
 */
function checked(diff, feed) {
  const isDiff = typeof diff?.id === "string" && typeof diff.model === "string" && /^\d+$/.test(diff.version);
  if (!isDiff) throw new TypeError("The endpoint gave something else than diffs.");
  return feed ? { ...diff, feed } : diff;
}

/** @param {Problem} problem @returns {Reset} */
function resetOf({ reason = "unknown", cursor = "", feed }) {
  return { reason, cursor, ...(feed ? { feed } : {}), received: performance.now() };
}

/** @returns {never} */
function brokenOff() {
  throw new WayError("The stream broke off.");
}
