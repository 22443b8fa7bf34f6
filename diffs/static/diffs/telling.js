// Tells the callbacks: each diff once and in order, and nothing behind a reset before that is settled.

import { Known } from "./known.js";
import { sleep } from "./waiting.js";

/** @typedef {import ("django-diffs").Diff} Diff */
/** @typedef {import ("django-diffs").Reset} Reset */
/** @typedef {{diff?: Diff, reset?: Reset, cursors: string[]}} Item What came, and where it leaves the reader. */

/**
 * @typedef {object} Listener
 * @property {((diff: Diff) => void) | undefined} onDiff See `subscribe`.
 * @property {((reset: Reset) => void | Promise<unknown>) | undefined} onReset See `subscribe`.
 * @property {(error: unknown) => void} report Tells whoever develops the page what a callback has thrown.
 * @property {(error: unknown, failures: number) => number} failed
 *   A reset could not be settled; returns how long to wait until the next try, in milliseconds.
 * @property {() => void} settled A reset is settled.
 */

/** Between the connection and the callbacks. */
export class Teller {
  #known = new Known();
  /** @type {Item[]} */
  #held = [];
  /** @type {Promise<void> | null} */
  #settling = null;
  #listener;
  #signal;

  /**
   * @param {Listener} listener Whom to tell.
   * @param {string[]} cursors Where it stands, one cursor for each feed.
   * @param {AbortSignal} signal Aborted where nothing is to be told any more.
   */
  constructor(listener, cursors, signal) {
    this.#listener = listener;
    this.#signal = signal;
    /** Where the callbacks have got to. */
    this.cursors = cursors;
  }

  /** Fulfilled when nothing is held back any more; null where nothing is. */
  get settling() {
    return this.#settling;
  }

  /** How much is held back. */
  get held() {
    return this.#held.length;
  }

  /** @param {Item} item What came next. */
  take(item) {
    if (!item.reset && !this.#settling) return this.#tell(item);
    this.#held.push(item);
    this.#settling ??= this.#settle();
  }

  /** @param {Item} item */
  #tell({ diff, cursors }) {
    if (this.#signal.aborted) return;
    const news = diff && this.#known.admit(diff);
    if (news) call(this.#listener.onDiff, news, this.#listener.report);
    this.cursors = cursors;
  }

  async #settle() {
    let next = 0;
    while (next < this.#held.length && !this.#signal.aborted) {
      const item = this.#held[next++];
      if (item.reset) {
        // What comes meanwhile is added behind it.
        this.#held.splice(0, next);
        next = 0;
        await this.#reset(item.reset);
      }
      this.#tell(item);
    }
    this.#held = [];
    this.#settling = null;
  }

  /** @param {Reset} reset */
  async #reset(reset) {
    for (let failures = 1; !this.#signal.aborted; failures += 1) {
      try {
        await this.#listener.onReset?.(reset);
        return this.#listener.settled();
      } catch (error) {
        this.#listener.report(error);
        await sleep(this.#listener.failed(error, failures), { signal: this.#signal });
      }
    }
  }
}

/**
 * Call back; what is thrown is reported, and stops nothing else.
 *
 * @template T
 * @param {((argument: T) => void) | undefined} callback
 * @param {T} argument
 * @param {(error: unknown) => void} report
 */
export function call(callback, argument, report) {
  try {
    callback?.(argument);
  } catch (error) {
    report(error);
  }
}

/** @param {unknown} error */
export function reportUncaught(error) {
  // As if nobody had caught it: seen in the console, and by whoever collects a page's errors.
  (globalThis.reportError ?? console.error)(error);
}
