// What travels: how many bytes, and the latest diffs.

const TAPE_LENGTH = 4;
const UNITS = ["B", "kB", "MB", "GB"];

/** A number of bytes as people write it. */
function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const number = bytes / 1000 ** power;
  return `${number.toFixed(power && number < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/**
 * As the browser's own `fetch`, and tells of the bytes of each body as they come.
 *
 * @param {(bytes: number) => void} tell
 */
export function counting(tell) {
  return async (address, options) => {
    const response = await fetch(address, options);
    const counter = new TransformStream({
      transform(chunk, control) {
        tell(chunk.byteLength);
        control.enqueue(chunk);
      },
    });
    return response.body ? new Response(response.body.pipeThrough(counter), response) : response;
  };
}

/** Shows what the diffs took beside what reloading the list would have taken, each time that something changed. */
export class Meter {
  #element;
  #updatedAt = -Infinity;
  #traffic = { bytes: 0, updates: 0, loads: 0, listBytes: 0 };

  constructor(element) {
    this.#element = element;
  }

  /** Bytes came, with diffs or without. */
  count(bytes) {
    this.#traffic.bytes += bytes;
  }

  /** The list came. */
  load(bytes) {
    this.#traffic.loads += 1;
    this.#traffic.listBytes = bytes;
    this.#show();
  }

  /** Something changed; what comes within a second would be reloaded together. */
  update() {
    const now = performance.now();
    if (now - this.#updatedAt >= 1000) {
      this.#updatedAt = now;
      this.#traffic.updates += 1;
    }
    this.#show();
  }

  #show() {
    const { bytes, updates, loads, listBytes } = this.#traffic;
    const reload = updates * listBytes;
    this.#line("diffs", bytes, reload);
    this.#line("reload", reload, reload);
    this.#put(".meter-count", updates.toLocaleString("en"));
    this.#put("#saving", bytes && updates ? `${Math.round(reload / bytes).toLocaleString("en")}×` : "–");
    const times = loads === 1 ? "once" : `${loads} times`;
    this.#put("#loads", `Loaded ${times}, ${size(listBytes)}. Bodies of responses, at most one update a second.`);
  }

  #line(name, bytes, whole) {
    const line = this.#element.querySelector(`#meter-${name}`);
    line.dataset.bytes = bytes;
    line.querySelector(".meter-bytes").textContent = size(bytes);
    line.querySelector(".meter-bar").style.setProperty("--part", whole ? Math.min(100, (100 * bytes) / whole) : 0);
  }

  #put(selector, text) {
    this.#element.querySelector(selector).textContent = text;
  }
}

/** Shows the latest diffs as they came. */
export class Tape {
  #element;

  constructor(element) {
    this.#element = element;
  }

  add(diffs) {
    const lines = diffs.slice(-TAPE_LENGTH).reverse().map(({ action, model, pk, data }) => {
      const line = document.createElement("li");
      const verb = document.createElement("b");
      verb.textContent = action;
      line.append(verb, ` ${model} ${pk} `, action === "delete" ? "" : JSON.stringify(data));
      return line;
    });
    this.#element.prepend(...lines);
    while (this.#element.children.length > TAPE_LENGTH) this.#element.lastElementChild.remove();
  }
}
