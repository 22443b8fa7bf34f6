// When to go on: after a pause, when the network is back, when somebody looks again.

const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * @param {number} failures How often it failed in a row.
 * @param {number} first The first pause, in milliseconds.
 * @param {number} longest The longest.
 * @returns {number} Longer from failure to failure, and never the same for two, so that they don't come back at once.
 */
export function backOff(failures, first, longest) {
  return Math.min(longest, first * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/**
 * Wait.
 *
 * @param {number} milliseconds How long, unless the network comes back meanwhile.
 * @param {{signal?: AbortSignal, atLeast?: number}} [until]
 *   What ends it at once, and how long it takes also where the network comes back.
 * @returns {Promise<void>}
 */
export function sleep(milliseconds, until = {}) {
  const { signal, atLeast = 0 } = until;
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const began = performance.now();
    let timer = setTimeout(done, Math.min(Math.max(milliseconds, atLeast), LONGEST_TIMER));
    const online = () => {
      clearTimeout(timer);
      timer = setTimeout(done, Math.max(0, began + atLeast - performance.now()));
    };
    function done() {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", online);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    globalThis.addEventListener?.("online", online);
    signal?.addEventListener("abort", done);
  });
}

/** Ends something that has been still for too long. */
export class Watchdog {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #bark;

  /** @param {() => void} bark What ends it. */
  constructor(bark) {
    this.#bark = bark;
  }

  /** @param {number} milliseconds From now on; what was said before is forgotten. */
  expect(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#bark, Math.min(milliseconds, LONGEST_TIMER));
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Whether somebody may be looking at the page. Where there is no page, somebody always is. */
export class Audience {
  #grace;
  #leave;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void) | null} */
  #back = null;
  /** @type {Promise<void> | null} */
  #away = null;
  #look = () => this.#see();
  #hide = () => this.#go();

  /**
   * @param {number} grace How long the page may be hidden until that counts, in milliseconds; infinite: never.
   * @param {() => void} leave Called when nobody looks any more.
   */
  constructor(grace, leave) {
    this.#grace = grace;
    this.#leave = leave;
    if (typeof document === "undefined" || grace === Infinity) return;
    document.addEventListener("visibilitychange", this.#look);
    // A page that is left may be shown again as it was, and its connections are gone then.
    addEventListener("pagehide", this.#hide);
    addEventListener("pageshow", this.#look);
    this.#see();
  }

  /** Null while somebody may be looking; otherwise fulfilled when somebody does again. */
  get away() {
    return this.#away;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#back?.();
    if (typeof document === "undefined") return;
    document.removeEventListener("visibilitychange", this.#look);
    removeEventListener("pagehide", this.#hide);
    removeEventListener("pageshow", this.#look);
  }

  #see() {
    clearTimeout(this.#timer);
    if (document.visibilityState === "hidden") {
      this.#timer = setTimeout(this.#hide, Math.min(this.#grace, LONGEST_TIMER));
      return;
    }
    this.#back?.();
    this.#away = this.#back = null;
  }

  #go() {
    clearTimeout(this.#timer);
    if (this.#away) return;
    this.#away = new Promise((resolve) => (this.#back = resolve));
    this.#leave();
  }
}
