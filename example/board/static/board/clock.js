// The clock in the hall. Its hands come as diffs, every few seconds; between two of them it runs on by itself.

/** Tells the time of a day that runs faster than ours, from what is known of it now and then. */
export class HallClock {
  #last = null;
  #before = null;
  #delay = Infinity;

  /** The time as a list has it: it stands still until the first two diffs have told how fast it goes. */
  set(local) {
    this.#last = { local, at: null };
    this.#before = null;
  }

  /**
   * @param {number} local The hall's time, in milliseconds since the epoch.
   * @param {number} timestamp When Redis got to know it, in microseconds.
   * @param {number} now The page's own clock, in milliseconds.
   */
  tick(local, timestamp, now) {
    const at = timestamp / 1000;
    // The quickest diff so far tells best how the page's clock stands to that of Redis.
    this.#delay = Math.min(this.#delay, now - at);
    // A day that begins again says nothing about its speed.
    this.#before = this.#last?.at != null && this.#last.local < local ? this.#last : null;
    this.#last = { local, at };
  }

  /** The hall's time, or null while nothing is known; it stops where no diff comes any more. */
  read(now) {
    if (!this.#before) return this.#last?.local ?? null;
    const interval = this.#last.at - this.#before.at;
    const speed = (this.#last.local - this.#before.local) / interval;
    const passed = Math.min(Math.max(now - this.#delay - this.#last.at, 0), 2 * interval);
    return this.#last.local + speed * passed;
  }
}
