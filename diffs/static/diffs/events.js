// Reads an event stream, as the HTML standard has it: from bytes to events.

/**
 * @typedef {object} Block What stands between two blank lines of a stream.
 * @property {string} event The type; "message" unless the stream says otherwise.
 * @property {string | null} data The lines of data, joined; null without any: such a block only carries an id.
 * @property {string | null} id The id that the block names, or null.
 * @property {number | null} retry How long to wait before connecting again, in milliseconds, or null.
 */

const LINE_END = /\r\n|\n|\r/g;

/** Takes the bytes of one stream as they come. */
export class EventParser {
  // Drops the byte order mark, and waits for the rest of a character that a chunk cuts.
  #decoder = new TextDecoder();
  /** @type {string[]} */
  #pieces = [];
  #afterReturn = false;
  #block = emptyBlock();
  #isEmpty = true;

  /**
   * @param {Uint8Array} bytes The next bytes.
   * @returns {Block[]} The blocks that end in them.
   */
  push(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    // A line's end of two characters may be cut, too; its first half has ended the line already.
    if (this.#afterReturn && text[0] === "\n") text = text.slice(1);
    this.#afterReturn = text.endsWith("\r");
    /** @type {Block[]} */
    const blocks = [];
    let start = 0;
    for (const { 0: end, index = 0 } of text.matchAll(LINE_END)) {
      this.#pieces.push(text.slice(start, index));
      start = index + end.length;
      const line = this.#pieces.length === 1 ? this.#pieces[0] : this.#pieces.join("");
      this.#pieces = [];
      if (line) this.#read(line);
      else if (!this.#isEmpty) blocks.push(this.#take());
    }
    if (start < text.length) this.#pieces.push(text.slice(start));
    return blocks;
  }

  /** @param {string} line A line that isn't blank. */
  #read(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    const block = this.#block;
    if (field === "data") block.data = block.data === null ? value : `${block.data}\n${value}`;
    else if (field === "event") block.event = value || "message";
    else if (field === "id" && !value.includes("\0")) block.id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) block.retry = Number(value);
    else return;
    this.#isEmpty = false;
  }

  #take() {
    const block = this.#block;
    this.#block = emptyBlock();
    this.#isEmpty = true;
    return block;
  }
}

/** @returns {Block} */
function emptyBlock() {
  return { event: "message", data: null, id: null, retry: null };
}
