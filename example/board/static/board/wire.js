// What travels: how many bytes, and the latest diffs.

const TAPE_LENGTH = 4;
const UNITS = ["B", "kB", "MB", "GB"];

/** A number of bytes as people write it. */
function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const number = bytes / 1000 ** power;
  return `${number.toFixed(power && number < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/** Shows what the polls took beside what reloading the list every time would have taken. */
export class Meter {
  #element;

  constructor(element) {
    this.#element = element;
  }

  show({ polls, pollBytes, loads, listBytes }) {
    const reload = polls * listBytes;
    this.#line("polls", pollBytes, reload);
    this.#line("reload", reload, reload);
    this.#put(".meter-count", polls.toLocaleString("en"));
    this.#put("#saving", pollBytes ? `${Math.round(reload / pollBytes).toLocaleString("en")}×` : "–");
    this.#put("#loads", `Loaded ${loads === 1 ? "once" : `${loads} times`}, ${size(listBytes)}. Counted are the bodies of the responses.`);
  }

  #line(name, bytes, whole) {
    const line = this.#element.querySelector(`#meter-${name}`);
    line.dataset.bytes = bytes;
    line.querySelector(".meter-bytes").textContent = size(bytes);
    line.querySelector(".meter-bar").style.setProperty("--part", whole ? (100 * bytes) / whole : 0);
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
