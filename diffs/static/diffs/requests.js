// What is asked of the endpoint, and what its answers mean.

/** @typedef {import ("django-diffs").Cursors} Cursors */
/** @typedef {import ("django-diffs").Problem} Problem */
/** @typedef {import ("django-diffs").Token} Token */

/** The endpoint's own parameters, which are written anew for each request, or belong elsewhere. */
const OWN = ["feed", "since", "snapshot", "token", "wait"];
/** These won't go away by trying again. */
const FINAL = new Set([400, 401, 403, 404, 405, 414, 431]);
const LONGEST_RETRY = 3_600_000;

/** An answer that is none of those that were asked for. */
export class AnswerError extends Error {
  /**
   * @param {number} status Of HTTP.
   * @param {Problem | null} problem What the endpoint says about it.
   * @param {number} [retryAfter] How long it asks to be left alone, in milliseconds.
   */
  constructor(status, problem, retryAfter = 0) {
    super(problem?.detail || problem?.title || `The endpoint answered with ${status}.`);
    this.name = "AnswerError";
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  get isFinal() {
    return FINAL.has(this.status);
  }
}

/** One feed or several, and what it takes to ask for them. */
export class Source {
  #address;
  #isSeveral;

  /** @param {string | URL | HTMLElement} source An address, or an element with what `{% diffs_feed %}` writes. */
  constructor(source) {
    const given = typeof source === "object" && "dataset" in source ? source.dataset : null;
    if (given && !given.diffsUrl) throw new TypeError("The element has no data-diffs-url: see {% diffs_feed %}.");
    const base = typeof document === "undefined" ? undefined : document.baseURI;
    const url = new URL(given ? (given.diffsUrl ?? "") : String(source), base);
    const query = url.searchParams;
    const feeds = query.getAll("feed").map((text) => {
      const at = text.indexOf("@");
      return { cursor: text.slice(0, Math.max(at, 0)), name: text.slice(at + 1) };
    });
    this.#isSeveral = feeds.length > 0;
    /** @readonly The names of several feeds; a feed that has its own address has none. */
    this.names = feeds.map(({ name }) => name);
    /** @readonly @type {string[]} The cursors to begin with, one for each feed. */
    this.cursors = this.#isSeveral
      ? feeds.map(({ cursor }) => cursor)
      : [given?.diffsCursor || query.get("since") || ""];
    /** @readonly @type {Token | undefined} What was found in the address, where it had better not be. */
    this.token = given?.diffsToken || (query.has("token") ? query.getAll("token") : undefined);
    for (const name of OWN) query.delete(name);
    url.hash = "";
    this.#address = url;
  }

  /** @param {string[]} cursors One for each feed. */
  address(cursors) {
    const url = new URL(this.#address);
    if (this.#isSeveral)
      this.names.forEach((name, place) => url.searchParams.append("feed", `${cursors[place]}@${name}`));
    else if (cursors[0]) url.searchParams.set("since", cursors[0]);
    return url.href;
  }

  /** The model that the address names. */
  get model() {
    return decodeURIComponent(this.#address.pathname.split("/").at(-3) ?? "").toLowerCase();
  }

  /** Where the object itself is to be had; only an object's own address has it. */
  snapshotAddress() {
    const url = new URL(this.#address);
    url.searchParams.set("snapshot", "1");
    return url.href;
  }

  /**
   * @param {Cursors} cursors For several feeds as `joined` gives them, or by their names.
   * @returns {string[]} One for each feed.
   */
  split(cursors) {
    const parts =
      typeof cursors === "object"
        ? this.names.map((name) => cursors[name])
        : this.#isSeveral
          ? cursors.split(",")
          : [cursors];
    if (parts.length !== this.cursors.length || parts.some((part) => typeof part !== "string")) {
      throw new TypeError(`There must be a cursor for each feed, not ${JSON.stringify(cursors)}.`);
    }
    return parts;
  }
}

/**
 * @param {Token | null | undefined} token One, or several.
 * @returns {Record<string, string>} The headers that carry it: no address does, as addresses are logged.
 */
export function authorization(token) {
  const text = Array.isArray(token) ? token.join(",") : token;
  return text ? { Authorization: `Bearer ${text}` } : {};
}

/**
 * @param {Response} response Any but a page or a stream.
 * @returns {Promise<AnswerError>} What is wrong.
 */
export async function failure(response) {
  const isProblem = mediaType(response) === "application/problem+json";
  const problem = isProblem ? await response.json() : await response.body?.cancel();
  return new AnswerError(response.status, problem ?? null, retryAfter(response));
}

/** @param {Response} response */
export function mediaType(response) {
  return (response.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
}

/** @param {Response} response @returns {number} Milliseconds. */
function retryAfter(response) {
  const text = response.headers.get("Retry-After") ?? "";
  const delay = /^[0-9]+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now();
  return Math.min(Math.max(delay || 0, 0), LONGEST_RETRY);
}
