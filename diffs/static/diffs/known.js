// What a client remembers of the diffs that it got: whether it had one already, and which values are the newest.

/** @typedef {import ("django-diffs").Diff} Diff */
/** @typedef {import ("django-diffs").Version} Version */

/** How many ids, and how many objects, are remembered: what comes late comes soon after. */
export const MOST = 10_000;

/**
 * @typedef {object} Story What is known of an object.
 * @property {Version | null} gone The version with which it was deleted.
 * @property {Map<string, {version: Version, value: unknown}>} fields The newest value of each field, or `OMITTED`.
 */

/** In the place of a value that is too large for a diff. */
const OMITTED = Symbol("omitted");

/** Lets each diff pass once, without the values that are older than what is known. */
export class Known {
  /** @type {Set<string>} */
  #ids = new Set();
  /** @type {Map<string, Story>} */
  #stories = new Map();
  #most;

  /** @param {number} [most] How many ids and objects to remember. */
  constructor(most = MOST) {
    this.#most = most;
  }

  /**
   * @param {Diff} diff What came.
   * @returns {Diff | null} What of it is news: the diff, one with less in its data, or null.
   */
  admit(diff) {
    if (this.#ids.has(diff.id)) return null;
    this.#ids.add(diff.id);
    forgetOldest(this.#ids, this.#most);
    const story = this.#storyOf(diff);
    if (isLower(diff.version, story.gone)) return null;
    if (diff.action === "delete") return this.#end(story, diff);
    return isPlain(diff.data) ? this.#tell(story, diff) : diff;
  }

  /** @param {Diff} diff */
  #storyOf({ model, pk }) {
    const key = `${model}:${JSON.stringify(pk)}`;
    const story = this.#stories.get(key) ?? { gone: null, fields: new Map() };
    // Behind all others, as it is the last one heard of.
    this.#stories.delete(key);
    this.#stories.set(key, story);
    forgetOldest(this.#stories, this.#most);
    return story;
  }

  /** @param {Story} story @param {Diff} diff */
  #end(story, diff) {
    for (const { version } of story.fields.values()) if (isLower(diff.version, version)) return null;
    story.gone = diff.version;
    story.fields.clear();
    return diff;
  }

  /** @param {Story} story @param {Diff} diff */
  #tell(story, diff) {
    const told = new Map(Object.entries(diff.data));
    for (const name of diff.omitted ?? []) told.set(name, OMITTED);
    let isWhole = true;
    for (const [name, value] of told) {
      const newest = story.fields.get(name);
      if (newest && isLower(diff.version, newest.version)) {
        isWhole = false;
        // An object is told of with all its fields, also where a change of it came before its creation.
        if (diff.action === "create") told.set(name, newest.value);
        else told.delete(name);
      } else {
        story.fields.set(name, { version: diff.version, value });
      }
    }
    if (isWhole) return diff;
    return told.size ? { ...diff, ...split(told) } : null;
  }
}

/**
 * @param {Map<string, unknown>} told
 * @returns {Pick<Diff, "data" | "omitted">} The fields of a diff, as it has them.
 */
function split(told) {
  const omitted = [...told.keys()].filter((name) => told.get(name) === OMITTED);
  const data = Object.fromEntries([...told].filter(([, value]) => value !== OMITTED));
  return omitted.length ? { data, omitted } : { data, omitted: undefined };
}

/**
 * @param {unknown} data
 * @returns {data is Record<string, unknown>} Whether it maps names of fields to values; a model's hook may make others.
 */
export function isPlain(data) {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}

/**
 * @param {Version} one
 * @param {Version | null} other
 * @returns {boolean} Whether a version is lower than another; from 2^53 on they are text.
 */
function isLower(one, other) {
  if (other === null) return false;
  return typeof one === "number" && typeof other === "number" ? one < other : BigInt(one) < BigInt(other);
}

/** @param {Set<string> | Map<string, unknown>} entries @param {number} most */
function forgetOldest(entries, most) {
  if (entries.size > most) entries.delete(/** @type {string} */ (entries.keys().next().value));
}
