// Keeps rows in step: fetches them once, and from then on does to them what the diffs say.

import { withDefaults } from "./options.js";
import { Source, authorization, failure, mediaType } from "./requests.js";
import { isPlain } from "./known.js";
import { Subscription } from "./subscription.js";
import { call, reportUncaught } from "./telling.js";
import { Watchdog, backOff, sleep } from "./waiting.js";

/** @typedef {import ("django-diffs").Change} Change */
/** @typedef {import ("django-diffs").CollectionOptions} CollectionOptions */
/** @typedef {import ("django-diffs").Diff} Diff */
/** @typedef {import ("django-diffs").PrimaryKey} PrimaryKey */
/** @typedef {import ("django-diffs").Reset} Reset */
/** @typedef {import ("django-diffs").Row} Row */
/** @typedef {import ("django-diffs").Snapshot} Snapshot */
/** @typedef {import ("django-diffs").StatusReport} StatusReport */

const SNAPSHOT_TIME = 30_000;
/** How long the creation of a row may be late behind its change, and how seldom rows are asked for that nobody has. */
const FIRST_RELOAD = 1_000;
const LONGEST_RELOAD = 300_000;

/** What `collection` returns. */
export class Collection {
  /** @type {Map<any, Row>} */
  #rows = new Map();
  #source;
  #options;
  #subscription;
  /** @type {Set<(change: Change) => void>} */
  #listeners = new Set();
  /** @type {Change | null} What the listeners haven't been told of. */
  #news = null;
  /** @type {Promise<Snapshot["cursor"]> | null} */
  #fetching = null;
  #fetchedFrom = -Infinity;
  /** @type {Diff[] | null} What comes while rows are being fetched. */
  #journal = null;
  /** @type {Map<any, {data: any, omitted: readonly string[]}>} What came for rows that are being asked for one by one. */
  #awaited = new Map();
  /** @type {Set<any>} Rows that weren't there when a change of theirs came. */
  #missed = new Set();
  /** @type {Map<any, Set<string>>} By row the fields whose values were too large for a diff. */
  #lacking = new Map();
  #fruitless = 0;
  #isReloading = false;
  #end = new AbortController();
  /** @type {(value?: undefined) => void} */
  #ready = () => {};
  /** @type {(reason: unknown) => void} */
  #unready = () => {};

  /**
   * @param {string | URL | HTMLElement} source See `collection`.
   * @param {CollectionOptions} [options] See `collection`.
   */
  constructor(source, options = {}) {
    this.#source = new Source(source);
    /** @type {Partial<CollectionOptions>} */
    const usual = options.snapshot ? { missing: "reload" } : { missing: "ignore", models: [this.#source.model] };
    this.#options = withDefaults({ key: keyOf, spread: 1_000, token: this.#source.token, ...usual }, options);
    /** @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      this.#ready = resolve;
      this.#unready = reject;
    });
    // Who doesn't wait for it is told by `onStatus`.
    this.ready.catch(() => {});
    if (options.onChange) this.#listeners.add(options.onChange);
    this.subscribe = this.subscribe.bind(this);
    const callbacks = {
      since: () => this.#fetch(),
      onDiff: (/** @type {Diff} */ diff) => this.#hear(diff),
      onReset: (/** @type {Reset} */ reset) => this.#renew(reset),
      onStatus: (/** @type {StatusReport} */ report) => this.#watch(report),
    };
    // A server that is away is no mistake in the page.
    this.#subscription = new Subscription(source, { ...options, ...callbacks }, (error) => console.warn(error));
  }

  get size() {
    return this.#rows.size;
  }

  /** @param {any} key */
  get(key) {
    return this.#rows.get(key);
  }

  /** @param {any} key */
  has(key) {
    return this.#rows.has(key);
  }

  keys() {
    return this.#rows.keys();
  }

  values() {
    return this.#rows.values();
  }

  [Symbol.iterator]() {
    return this.#rows.entries();
  }

  get cursor() {
    return this.#subscription.cursor;
  }

  get status() {
    return this.#subscription.status;
  }

  get mode() {
    return this.#subscription.mode;
  }

  /** @param {(change: Change) => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  reload() {
    return this.#refresh(performance.now());
  }

  close() {
    this.#end.abort();
    this.#subscription.close();
  }

  /** @param {StatusReport} report */
  #watch(report) {
    const { error, status } = report;
    if (status === "refused" || status === "closed") {
      this.#end.abort();
      this.#unready(error ?? new Error("The collection was closed."));
    }
    this.#options.onStatus?.(report);
  }

  /** @param {Reset} reset */
  async #renew(reset) {
    // The others whose cursors were refused at the same moment are not to ask all at once.
    await sleep(Math.random() * /** @type {number} */ (this.#options.spread), { signal: this.#end.signal });
    await this.#refresh(reset.received);
  }

  /** @param {number} moment Rows that were asked for after it will do. */
  async #refresh(moment) {
    await this.#fetching?.catch(() => {});
    if (this.#fetchedFrom <= moment) await this.#fetch();
  }

  #fetch() {
    this.#fetching ??= this.#replace().finally(() => (this.#fetching = null));
    return this.#fetching;
  }

  async #replace() {
    const from = performance.now();
    /** @type {Diff[]} */
    const journal = (this.#journal = []);
    try {
      const { cursor, rows } = await this.#takeSnapshot();
      if (this.#end.signal.aborted) return cursor;
      const before = [...this.#rows.keys()];
      this.#rows = new Map();
      this.#awaited.clear();
      this.#missed.clear();
      this.#lacking.clear();
      for (const row of rows) this.#put(/** @type {Function} */ (this.#options.key)(row.model, row.pk), row);
      // They were done to the rows that are gone; once more does no harm where these have them already.
      for (const diff of journal) this.#apply(diff);
      this.#fetchedFrom = from;
      this.#note(before).renewed = true;
      this.#ready();
      return cursor;
    } finally {
      this.#journal = null;
    }
  }

  /** @returns {Promise<Snapshot>} */
  async #takeSnapshot() {
    const { credentials, fetch = globalThis.fetch, snapshot, token } = this.#options;
    if (typeof snapshot === "function") return snapshot();
    // The token opens the feed; of whatever else gives rows it is none of the business.
    const headers = snapshot ? {} : authorization(typeof token === "function" ? await token() : token);
    const address = snapshot ? String(snapshot) : this.#source.snapshotAddress();
    const control = new AbortController();
    const watchdog = new Watchdog(() => control.abort(new Error("The rows don't come.")));
    watchdog.expect(SNAPSHOT_TIME);
    const wanted = { credentials, headers, signal: control.signal };
    try {
      return await this.#readSnapshot(await fetch.call(globalThis, address, { cache: "no-store", ...wanted }));
    } finally {
      watchdog.stop();
    }
  }

  /** @param {Response} response @returns {Promise<Snapshot>} */
  async #readSnapshot(response) {
    const { snapshot } = this.#options;
    if (mediaType(response) !== "application/json" || !response.ok) {
      const error = await failure(response);
      // An object that isn't there has no row; from its feed's beginning on it may come to be.
      if (!snapshot && error.status === 404) return { cursor: "", rows: [] };
      throw error;
    }
    const document = await response.json();
    return snapshot ? document : { cursor: document.cursor, rows: [document.snapshot] };
  }

  /** @param {Diff} diff */
  #hear(diff) {
    this.#journal?.push(diff);
    this.#apply(diff);
    this.#note([]).diffs.push(diff);
    call(this.#options.onDiff, diff, reportUncaught);
  }

  /** @param {Diff} diff */
  #apply(diff) {
    const { action, data, model, pk } = diff;
    const { models } = this.#options;
    if (models && !models.includes(model)) return;
    const key = /** @type {Function} */ (this.#options.key)(model, pk);
    const row = this.#rows.get(key);
    if (action === "delete") {
      this.#lacking.delete(key);
      this.#remove(key);
    } else if (row || action === "create") {
      this.#put(key, { model, pk, data: without(merged(row?.data, data), diff.omitted) });
      this.#lack(key, diff);
    } else {
      this.#miss(key, diff);
    }
  }

  /** @param {any} key @param {Pick<Diff, "data" | "omitted">} told What has come of a row. */
  #lack(key, { data, omitted = [] }) {
    const names = this.#lacking.get(key) ?? new Set();
    for (const name of Object.keys(Object(data))) names.delete(name);
    for (const name of omitted) names.add(name);
    if (!names.size) return void this.#lacking.delete(key);
    // Also where it isn't kept: without the field nobody knows.
    this.#lacking.set(key, names);
    if (!this.#isReloading) this.#reloadMissed();
  }

  /** @param {any} key @param {Row} row */
  #put(key, row) {
    const { keep } = this.#options;
    if (keep && !keep(row)) return this.#remove(key);
    this.#awaited.delete(key);
    this.#missed.delete(key);
    this.#rows.set(key, row);
    this.#note([key]);
  }

  /** @param {any} key */
  #remove(key) {
    this.#awaited.delete(key);
    this.#missed.delete(key);
    if (this.#rows.delete(key)) this.#note([key]);
  }

  /** @param {any} key @param {Diff} diff A change of a row that isn't here. */
  #miss(key, diff) {
    const { missing } = this.#options;
    if (typeof missing === "function") return void this.#askFor(key, diff, missing);
    if (missing === "ignore") return;
    this.#missed.add(key);
    if (!this.#isReloading) this.#reloadMissed();
  }

  async #reloadMissed() {
    this.#isReloading = true;
    const wanted = () => [...this.#missed, ...this.#lacking.keys()];
    while (wanted().length && !this.#end.signal.aborted) {
      const pause = backOff(this.#fruitless + 1, 2 * FIRST_RELOAD, LONGEST_RELOAD);
      await sleep(pause, { atLeast: pause, signal: this.#end.signal });
      const missed = wanted();
      if (!missed.length || this.#end.signal.aborted) break;
      // Rows that are left out on purpose would otherwise have the others fetched again and again.
      this.#fruitless += 1;
      try {
        await this.reload();
        if (missed.some((key) => this.#rows.has(key))) this.#fruitless = 0;
      } catch (error) {
        console.warn(error);
      }
    }
    this.#isReloading = false;
  }

  /** @param {any} key @param {Diff} diff @param {(diff: Diff) => unknown} missing */
  async #askFor(key, diff, missing) {
    const asked = this.#awaited.get(key);
    if (asked) {
      const { data, omitted = [] } = diff;
      asked.data = without(merged(asked.data, data), omitted);
      // What is on its way may be older.
      asked.omitted = [...asked.omitted.filter((name) => !(name in Object(data))), ...omitted];
      return;
    }
    const mine = { data: diff.data, omitted: /** @type {readonly string[]} */ ([]) };
    this.#awaited.set(key, mine);
    try {
      const data = await missing(diff);
      // Otherwise it was created, deleted, or fetched with all others meanwhile.
      const isStillMissing = this.#awaited.get(key) === mine;
      if (data && isStillMissing) {
        this.#put(key, { model: diff.model, pk: diff.pk, data: without(merged(data, mine.data), mine.omitted) });
        this.#lack(key, mine);
      }
    } catch (error) {
      reportUncaught(error);
    }
    if (this.#awaited.get(key) === mine) this.#awaited.delete(key);
  }

  /** @param {Iterable<any>} keys What changed. @returns {Change} What the listeners will be told. */
  #note(keys) {
    if (!this.#news) {
      this.#news = { renewed: false, keys: new Set(), diffs: [] };
      // Once for all that comes together.
      queueMicrotask(() => this.#tell());
    }
    for (const key of keys) this.#news.keys.add(key);
    return this.#news;
  }

  #tell() {
    const news = /** @type {Change} */ (this.#news);
    this.#news = null;
    for (const listener of [...this.#listeners]) call(listener, news, reportUncaught);
  }
}

/**
 * @param {string} model
 * @param {PrimaryKey} pk
 * @returns {string} The object's name, as its feed is called: "polls.question:42".
 */
export function keyOf(model, pk) {
  // In a composite key a comma tells the parts apart.
  const text = Array.isArray(pk) ? pk.map((part) => String(part).replace(/[~,]/g, "~$&")).join() : String(pk);
  return `${model}:${text}`;
}

/** @param {any} before @param {any} after @returns {any} Both, where a hook of the model hasn't made something else. */
function merged(before, after) {
  return isPlain(before) && isPlain(after) ? { ...before, ...after } : after;
}

/** @param {any} data @param {readonly string[]} [omitted] @returns {any} The fields that aren't among these. */
function without(data, omitted = []) {
  if (!omitted.length || !isPlain(data)) return data;
  return Object.fromEntries(Object.entries(data).filter(([name]) => !omitted.includes(name)));
}
